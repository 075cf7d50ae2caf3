/* For RTLD_DEFAULT, dladdr and dl_iterate_phdr. */
#define _GNU_SOURCE
#include "running_nix.h"

#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Copies the text of a C++ std::string into `version`. Returns 0 if it does not
   look like a version, because the string may have an unknown layout. */
static int read_version(const void *string, char version[64]) {
  const char *text;
  size_t length;
#ifdef __APPLE__
  /* libc++ stores short strings in place. On arm64, the last byte is the length
     of a short string; its highest bit marks a long one. On x86_64, the first
     byte is twice the length; its lowest bit marks a long one. */
  const unsigned char *bytes = string;
#ifdef __aarch64__
  if (bytes[23] & 0x80) {
    memcpy(&text, bytes, sizeof text);
    memcpy(&length, bytes + sizeof text, sizeof length);
  } else {
    text = string;
    length = bytes[23];
  }
#else
  if (bytes[0] & 1) {
    memcpy(&length, bytes + sizeof text, sizeof length);
    memcpy(&text, bytes + 2 * sizeof text, sizeof text);
  } else {
    text = (const char *)bytes + 1;
    length = bytes[0] >> 1;
  }
#endif
#else
  /* libstdc++: a pointer, then the length. */
  memcpy(&text, string, sizeof text);
  memcpy(&length, (const char *)string + sizeof text, sizeof length);
#endif
  if (!text || length == 0 || length >= 64)
    return 0;
  memcpy(version, text, length);
  version[length] = '\0';
  return oci_hash_is_version(version) &&
         strspn(version, "0123456789abcdefghijklmnopqrstuvwxyz"
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ.+_-") == length;
}

/* Reads a variable of Nix, of type std::string, by its mangled names: with the
   tag that libstdc++ puts on it, and without. */
static int find_version(const char *tagged, const char *plain, char version[64],
                        const void **variable) {
  *variable = dlsym(RTLD_DEFAULT, tagged);
  if (*variable)
    return read_version(*variable, version);
  *variable = dlsym(RTLD_DEFAULT, plain);
  if (!*variable)
    return 0;
#ifndef __APPLE__
  /* Without the tag, the string may have another layout. A short string of
     libstdc++ points into itself. */
  {
    const char *text;
    memcpy(&text, *variable, sizeof text);
    if (text != (const char *)*variable + sizeof text + sizeof(size_t))
      return 0;
  }
#endif
  return read_version(*variable, version);
}

#ifdef __linux__
struct search {
  uintptr_t address;
  const char *file;
};

static int find_in(struct dl_phdr_info *library, size_t size, void *data) {
  struct search *search = data;
  (void)size;
  for (int i = 0; i < library->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
    uintptr_t start = library->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD &&
        search->address - start < segment->p_memsz) {
      search->file = library->dlpi_name;
      return 1;
    }
  }
  return 0;
}

/* The file of the library that has a variable, or NULL. dladdr would compare
   the variable with every symbol of the library. */
static const char *file_of(const void *variable) {
  struct search search = {(uintptr_t)variable, NULL};
  dl_iterate_phdr(find_in, &search);
  return search.file;
}
#else
static const char *file_of(const void *variable) {
  Dl_info library;
  return dladdr(variable, &library) ? library.dli_fname : NULL;
}
#endif

int oci_hash_running_nix(struct running_nix *nix) {
  const void *variable;
  const char *file, *slash;
  if (!find_version("_ZN3nix10nixVersionB5cxx11E", "_ZN3nix10nixVersionE",
                    nix->version, &variable))
    return 0;
  nix->flavour = "nix";
  nix->name = "Nix";
  /* Lix has the same variable, but other names for its libraries. */
  file = file_of(variable);
  slash = file ? strrchr(file, '/') : NULL;
  if (file && strncmp(slash ? slash + 1 : file, "liblix", 6) == 0) {
    nix->flavour = "lix";
    nix->name = "Lix";
  }
  if (find_version("_ZN3nix21determinateNixVersionB5cxx11E",
                   "_ZN3nix21determinateNixVersionE", nix->version,
                   &variable)) {
    nix->flavour = "determinate";
    nix->name = "Determinate Nix";
  } else if (variable) {
    return 0;
  }
  return 1;
}

int oci_hash_is_version(const char *text) {
  size_t major = strspn(text, "0123456789");
  return major > 0 && text[major] == '.' && text[major + 1] >= '0' &&
         text[major + 1] <= '9';
}

void oci_hash_warn(const char *format, ...) {
  char line[1024];
  const char prefix[] = "warning: nix-oci-hashes: ";
  size_t length = sizeof prefix - 1;
  va_list arguments;
  int written;
  memcpy(line, prefix, length);
  va_start(arguments, format);
  written =
      vsnprintf(line + length, sizeof line - length - 1, format, arguments);
  va_end(arguments);
  if (written < 0)
    return;
  length += strlen(line + length);
  for (char *c = line; c < line + length; c++)
    if ((unsigned char)*c < ' ' || *c == 127)
      *c = ' ';
  line[length++] = '\n';
  /* A single write, so that other output does not come between. A failure is
     ignored. */
  if (write(STDERR_FILENO, line, length) < 0)
    return;
}
