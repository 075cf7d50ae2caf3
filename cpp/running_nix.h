/* Which Nix this process runs, found out without one of its symbols. */
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

/* Fills in `nix` and returns 1, or returns 0 where the program does not say, as
   one that is linked statically. */
int oci_hash_running_nix(struct running_nix *nix);

/* How many characters of a version its first two numbers are: 4 of "2.26.3".
   0 for what does not begin with two numbers. */
unsigned oci_hash_series(const char *version);

/* Whether two versions begin with the same two numbers: within these, the
   interface that plugins use stays the same. Before the first release it does
   not, so that a version with "pre" in it goes with itself alone. */
int oci_hash_same_series(const char *one, const char *other);

/* Prints one line on standard error, as Nix prints its warnings. */
void oci_hash_warn(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
