/* Which Nix this process runs, found out without linking to Nix. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct running_nix {
  /* "nix" for upstream's, "determinate" for Determinate Nix, or "lix". */
  const char *flavour;
  /* Its name for people. */
  const char *name;
  /* In the flavour's own numbers, such as "2.26.3". */
  char version[64];
};

/* Fills in `nix` and returns 1, or returns 0 if the version is unknown, as in a
   program that is linked statically. */
int oci_hash_running_nix(struct running_nix *nix);

/* Whether a text begins with two numbers and a dot between them, as a version
   does. */
int oci_hash_is_version(const char *text);

/* Prints one line on standard error, as Nix prints its warnings. */
void oci_hash_warn(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
