// A plugin for QEMU's user-mode emulator that counts instructions exactly, block by block.
//
//   qemu-aarch64 -plugin libicount.so,out=FILE program
//
// The guest calls getppid() to begin and to end what is counted (os.getppid() in Python). At each end the counts are appended to FILE:
//   count <how many instructions>
//   block <how often it ran> <its address> <its instructions, 8 hexadecimal digits each>      for every block of code that ran
// One thread is counted right; several lose counts to each other.
//
// Debian ships the emulator without qemu-plugin.h: what is used of it is declared here (plugin API 1, QEMU 4.2 to 8).
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { ADD_U64 = 0 };
enum { GETPPID = 173 };  // on AArch64

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

struct block {
  struct block *next;
  uint64_t address, runs;
  size_t size;
  uint32_t *instructions;
};

static struct block *blocks;
static bool counting;
static char path[4096];

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
  struct block *b = calloc(1, sizeof *b);
  b->address = qemu_plugin_tb_vaddr(tb);
  b->size = qemu_plugin_tb_n_insns(tb);
  b->instructions = calloc(b->size, sizeof *b->instructions);
  for (size_t i = 0; i < b->size; ++i) memcpy(&b->instructions[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), 4);
  b->next = blocks;
  blocks = b;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &b->runs, 1);
}

static void write_counts(void) {
  FILE *file = fopen(path, "a");
  if (!file) {
    perror(path);
    exit(1);
  }
  uint64_t count = 0;
  for (const struct block *b = blocks; b; b = b->next) count += b->runs * b->size;
  fprintf(file, "count %" PRIu64 "\n", count);
  for (const struct block *b = blocks; b; b = b->next) {
    if (!b->runs) continue;
    fprintf(file, "block %" PRIu64 " %" PRIx64, b->runs, b->address);
    for (size_t i = 0; i < b->size; ++i) fprintf(file, " %08" PRIx32, b->instructions[i]);
    fprintf(file, "\n");
  }
  fclose(file);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                   uint64_t g, uint64_t h) {
  if (number != GETPPID) return;
  if (counting) write_counts();
  counting = !counting;
  for (struct block *each = blocks; each; each = each->next) each->runs = 0;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  for (int i = 0; i < argc; ++i) {
    if (!strncmp(argv[i], "out=", 4)) snprintf(path, sizeof path, "%s", argv[i] + 4);
  }
  if (!*path) {
    fprintf(stderr, "libicount.so needs out=FILE\n");
    return -1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  return 0;
}
