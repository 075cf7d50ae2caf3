# Platforms, as os/arch[/variant] of the OCI image spec, and Nix systems.
let
  text = import ./text.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) head tail;

  # A Nix system and the platform of the containers it runs. On macOS these run in
  # a Linux virtual machine.
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

  # Other names of an architecture.
  architectures = {
    aarch64 = "arm64";
    x86-64 = "amd64";
    x86_64 = "amd64";
  };

  # Architectures whose name implies the variant, whatever variant is written.
  withVariant = {
    armel = "arm/v6";
    armhf = "arm/v7";
  };

  # Other spellings of an architecture with its variant.
  spellings = {
    "amd64/v1" = "amd64";
    "arm" = "arm/v7";
    "arm/5" = "arm/v5";
    "arm/6" = "arm/v6";
    "arm/7" = "arm/v7";
    "arm/8" = "arm/v8";
    "arm64/8" = "arm64";
    "arm64/v8" = "arm64";
    "i386" = "386";
    "i686" = "386";
  };

  isName =
    part: builtins.stringLength part <= 64 && builtins.match "[a-z0-9][a-z0-9._-]*" part != null;
in
{
  # A platform or a Nix system, as the platform in its normal form.
  parse =
    input:
    let
      parts = text.splitOn "/" (text.lower input);
      count = builtins.length parts;
      os = head parts;
      arch = head (tail parts);
      variant = tail (tail parts);
      written = builtins.concatStringsSep "/" ([ (architectures.${arch} or arch) ] ++ variant);
      normal = withVariant.${arch} or (spellings.${written} or written);
      isPlatform = (count == 2 || count == 3) && builtins.all isName parts;
    in
    if nixSystems ? ${input} then
      ok nixSystems.${input}
    else if isPlatform && os != "unknown" && arch != "unknown" then
      ok "${os}/${normal}"
    else
      fail "invalid platform ${text.quoted input}: write 'os/arch' such as 'linux/amd64', or a Nix system such as 'x86_64-linux'";
}
