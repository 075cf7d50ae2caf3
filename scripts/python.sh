# shellcheck shell=bash
# Makes a virtual environment of Python for the tools that pip installs. Source this
# file.

# python_environment FOLDER
python_environment() {
  local folder=$1 as_root=()
  [ -d "$folder" ] && return
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    if ! command -v apt-get >/dev/null || ! command -v "${as_root[0]:-true}" >/dev/null; then
      printf 'Python with venv is missing: install it, and try again.\n' >&2
      return 1
    fi
    printf 'Installing python3-venv with apt.\n' >&2
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      -o Dpkg::Use-Pty=0 python3 python3-venv >/dev/null
  fi
  python3 -m venv "$folder"
}
