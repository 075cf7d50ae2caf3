# Platforms, as os/arch[/variant] of the OCI image spec, and Nix systems.
let
  text = import ./text.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins)
    all
    elemAt
    length
    map
    match
    stringLength
    ;

  # Those of macOS run their containers in a Linux virtual machine.
  nixSystems = {
    aarch64-darwin = "linux/arm64";
    aarch64-linux = "linux/arm64";
    armv5tel-linux = "linux/arm/v5";
    armv6l-linux = "linux/arm/v6";
    armv7l-linux = "linux/arm/v7";
    i686-linux = "linux/386";
    loongarch64-linux = "linux/loong64";
    mips64el-linux = "linux/mips64le";
    powerpc64le-linux = "linux/ppc64le";
    riscv64-linux = "linux/riscv64";
    s390x-linux = "linux/s390x";
    x86_64-darwin = "linux/amd64";
    x86_64-linux = "linux/amd64";
  };

  isName = part: stringLength part <= 64 && match "[A-Za-z0-9][A-Za-z0-9._-]*" part != null;

  # The architecture and variant that go by several names.
  arch64 = name: variant: {
    arch = name;
    inherit variant;
  };
  arm = variant: {
    arch = "arm";
    inherit variant;
  };
  normal =
    arch: variant:
    if arch == "amd64" || arch == "x86_64" || arch == "x86-64" then
      arch64 "amd64" (if variant == "v1" then "" else variant)
    else if arch == "arm64" || arch == "aarch64" then
      arch64 "arm64" (if variant == "8" || variant == "v8" then "" else variant)
    else if variant == "" && (arch == "386" || arch == "i386" || arch == "i686") then
      arch64 "386" ""
    else if arch == "armhf" || arch == "arm" && (variant == "" || variant == "7") then
      arm "v7"
    else if arch == "armel" || arch == "arm" && variant == "6" then
      arm "v6"
    else if arch == "arm" && (variant == "5" || variant == "8") then
      arm "v${variant}"
    else
      { inherit arch variant; };
in
{
  # A platform or a Nix system, as the platform in its normal form.
  parse =
    input:
    let
      parts = map text.lower (text.splitOn "/" input);
      isPlatform =
        (length parts == 2 || length parts == 3)
        && all isName parts
        && elemAt parts 0 != "unknown"
        && elemAt parts 1 != "unknown";
      platform = normal (elemAt parts 1) (if length parts == 3 then elemAt parts 2 else "");
    in
    if nixSystems ? ${input} then
      ok nixSystems.${input}
    else if isPlatform then
      ok (
        "${elemAt parts 0}/${platform.arch}"
        + (if platform.variant == "" then "" else "/${platform.variant}")
      )
    else
      fail (
        "invalid platform ${text.quoted input}: write 'os/arch' such as 'linux/amd64', "
        + "or a Nix system such as 'x86_64-linux'"
      );
}
