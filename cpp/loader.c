/* The library that plugin-files names. It opens the build of the plugin that
   fits the running Nix, or prints a warning if there is none. Nix fails if it
   cannot open a plugin. This one needs only the C library, so Nix can always
   open it.

   The builds are in ../../nix-oci-hashes, seen from the folder of this file:
   lib/nix/plugins/libnix_oci_hashes.so and lib/nix-oci-hashes/nix-2.26.3.so,
   or nix-c-api.so there for a Nix that has no build of its own.
   Nothing else is in the loader's folder, because plugin-files may name that.
 */
#define _GNU_SOURCE
#include "running_nix.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <elf.h>
#include <link.h>
#endif

#define BUILDS "/../../nix-oci-hashes"
#define SUFFIX ".so"
/* The first release of Nix whose program exports the C API. */
#define C_API_MAJOR 2
#define C_API_MINOR 35
/* How many builds are looked at, at most. */
#define MOST_BUILDS 256
/* Most program headers of a build; linkers make some ten. */
#define MOST_PROGRAM_HEADERS 64

/* The parts of a file name such as "nix-2.26.3.so". */
struct build {
  char flavour[32];
  char version[64];
};

struct builds {
  char folder[PATH_MAX];
  struct build found[MOST_BUILDS];
  int count;
};

/* What went wrong with the last build that was tried. */
static char reason[512];

static int parse_build(const char *name, struct build *build) {
  const char *dash = strchr(name, '-');
  size_t length = strlen(name), suffix = strlen(SUFFIX);
  size_t flavour, version;
  if (!dash || length < suffix || strcmp(name + length - suffix, SUFFIX) != 0)
    return 0;
  flavour = (size_t)(dash - name);
  version = length - suffix - flavour - 1;
  if (flavour >= sizeof build->flavour || version >= sizeof build->version)
    return 0;
  memcpy(build->flavour, name, flavour);
  build->flavour[flavour] = '\0';
  memcpy(build->version, dash + 1, version);
  build->version[version] = '\0';
  return oci_hash_is_version(build->version);
}

/* Later versions first. */
static int compare(const void *one, const void *other) {
  const char *a = ((const struct build *)one)->version;
  const char *b = ((const struct build *)other)->version;
  while (*a && *b) {
    unsigned long of_a = strtoul(a, (char **)&a, 10);
    unsigned long of_b = strtoul(b, (char **)&b, 10);
    if (of_a != of_b)
      return of_a < of_b ? 1 : -1;
    if (*a != '.' || *b != '.')
      break;
    a++;
    b++;
  }
  return strcmp(b, a);
}

/* Finds the folder of the builds; leaves it empty on failure. */
static void find_folder(struct builds *builds) {
  char own[PATH_MAX], *slash;
  Dl_info here;
  /* Links are followed: a profile of Nix holds links to the package. */
  if (!dladdr((void *)&reason, &here) || !realpath(here.dli_fname, own) ||
      !(slash = strrchr(own, '/')))
    return;
  *slash = '\0';
  if (strlen(own) + sizeof BUILDS > sizeof builds->folder)
    return;
  strcpy(builds->folder, own);
  strcat(builds->folder, BUILDS);
}

static void list_builds(struct builds *builds) {
  struct dirent *entry;
  DIR *folder = opendir(builds->folder);
  if (!folder)
    return;
  while (builds->count < MOST_BUILDS && (entry = readdir(folder)))
    builds->count += parse_build(entry->d_name, &builds->found[builds->count]);
  closedir(folder);
  qsort(builds->found, (size_t)builds->count, sizeof builds->found[0], compare);
}

#ifdef __linux__
/* Says why a file is not a usable library, or NULL. The dynamic loader does not
   check the length of a file, so a truncated one would crash the process. */
static const char *is_broken(int file, off_t size) {
  ElfW(Ehdr) header;
  ElfW(Phdr) headers[MOST_PROGRAM_HEADERS];
  ssize_t length;
  if (pread(file, &header, sizeof header, 0) != (ssize_t)sizeof header ||
      memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return "it is no shared library";
  if (header.e_ident[EI_CLASS] !=
          (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
      header.e_phentsize != sizeof headers[0])
    return "it is for another kind of machine";
  if (header.e_phnum > MOST_PROGRAM_HEADERS)
    return "it has too many program headers";
  length = (ssize_t)(header.e_phnum * sizeof headers[0]);
  if (pread(file, headers, (size_t)length, (off_t)header.e_phoff) != length)
    return "its end is missing";
  for (unsigned i = 0; i < header.e_phnum; i++)
    if (headers[i].p_filesz > (unsigned long)size ||
        headers[i].p_offset > (unsigned long)size - headers[i].p_filesz)
      return "its end is missing";
  return NULL;
}
#else
static const char *is_broken(int file, off_t size) {
  (void)file;
  return size == 0 ? "it is empty" : NULL;
}
#endif

static void build_path(char *path, size_t size, const char *folder,
                       const struct build *build) {
  snprintf(path, size, "%s/%s-%s" SUFFIX, folder, build->flavour,
           build->version);
}

/* Opens one build and resolves all its symbols at once, so that a build that
   does not fit fails here and not at its first call. */
static int open_build(const char *folder, const struct build *build) {
  char path[PATH_MAX + 128];
  const char *problem = NULL;
  struct stat status;
  int file;
  build_path(path, sizeof path, folder, build);
  file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0 || fstat(file, &status) != 0)
    problem = "it cannot be read";
  else if (!S_ISREG(status.st_mode))
    problem = "it is no file";
  else
    problem = is_broken(file, status.st_size);
  if (file >= 0)
    close(file);
  if (!problem && dlopen(path, RTLD_NOW | RTLD_LOCAL))
    return 1;
  if (!problem)
    problem = dlerror();
  snprintf(reason, sizeof reason, "its build for %s %s cannot be opened: %s",
           build->flavour, build->version, problem ? problem : "unknown error");
  return 0;
}

/* Whether the build for this version exists; a broken one does, too. */
static int exists(const char *folder, const struct build *build) {
  char path[PATH_MAX + 128];
  struct stat status;
  build_path(path, sizeof path, folder, build);
  return lstat(path, &status) == 0;
}

/* Whether the running Nix has the C API that the build for it needs. */
static int has_c_api(const struct running_nix *nix) {
  char *rest;
  unsigned long major = strtoul(nix->version, &rest, 10);
  unsigned long minor = strtoul(rest + 1, NULL, 10);
  return strcmp(nix->flavour, "nix") == 0 &&
         (major > C_API_MAJOR ||
          (major == C_API_MAJOR && minor >= C_API_MINOR)) &&
         dlsym(RTLD_DEFAULT, "nix_register_primop");
}

/* Opens the build for exactly this version: releases of one series have broken
   each other. Without one, opens the build for the C API. */
static int open_fitting(const struct builds *builds,
                        const struct running_nix *nix) {
  static const struct build c_api = {"nix", "c-api"};
  struct build exact;
  strcpy(exact.flavour, nix->flavour);
  strcpy(exact.version, nix->version);
  if (exists(builds->folder, &exact))
    return open_build(builds->folder, &exact);
  return has_c_api(nix) && exists(builds->folder, &c_api) &&
         open_build(builds->folder, &c_api);
}

/* Writes the list of all builds into `text`, for the warning. */
static void describe(const struct builds *builds, char *text, size_t size) {
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < builds->count && used < size; i++)
    used += (size_t)snprintf(text + used, size - used, "%s%s %s",
                             i == 0 ? "" : ", ", builds->found[i].flavour,
                             builds->found[i].version);
  if (builds->count == 0)
    snprintf(text, size, "none at all");
}

#define LEFT_OUT "builtins.ociHash is left out"

__attribute__((constructor)) static void load(void) {
  static struct builds builds;
  struct running_nix nix;
  char there[256];
  int is_known = oci_hash_running_nix(&nix);
  find_folder(&builds);
  if (is_known && open_fitting(&builds, &nix))
    return;
  list_builds(&builds);
  describe(&builds, there, sizeof there);
  if (is_known)
    oci_hash_warn("the running %s %s has no fitting build of the plugin "
                  "(there: %s)%s%s; " LEFT_OUT "; install the plugin for this "
                  "Nix, or take it out of 'plugin-files' in nix.conf",
                  nix.name, nix.version, there, reason[0] ? "; " : "", reason);
  else
    oci_hash_warn("the version of the running nix is unknown, as when it is "
                  "linked statically, so none of the plugin's builds (%s) is "
                  "known to fit; " LEFT_OUT "; use a nix with shared "
                  "libraries, or take the plugin out of 'plugin-files' in "
                  "nix.conf",
                  there);
}
