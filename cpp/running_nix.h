/* Which Nix this process runs, found out without linking to Nix. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

struct running_nix {
  /* "nix" for CppNix, "determinate" for Determinate Nix, or "lix". */
  const char *flavour;
  /* Its name for people. */
  const char *name;
  /* In the flavour's own numbers, such as "2.26.3". */
  char version[64];
  /* The same in CppNix's numbers, which Determinate Nix has beside its own. */
  char cpp_nix_version[64];
};

/* Fills in `nix` and returns 1, or returns 0 if the version is unknown, as in a
   program that is linked statically. */
int oci_hash_running_nix(struct running_nix *nix);

/* The length of the first two numbers of a version with the dot between them: 4
   for "2.26.3". 0 if it does not begin with two numbers. */
unsigned oci_hash_series(const char *version);

/* Whether two versions begin with the same two numbers. The interface for
   plugins does not change between such releases, but it may change before the
   first one, so a version with "pre" in it matches only itself. */
int oci_hash_same_series(const char *one, const char *other);

/* Prints one line on standard error, as Nix prints its warnings. */
void oci_hash_warn(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
