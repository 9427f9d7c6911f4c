/* tests/lib/sim_disk.h: a disk that a test owns: an I/O table over a real folder that notes every change, so that the power can be
 * cut at any call and the folder be what a disk might then hold.
 *
 * What a power cut leaves (more than ext4 or XFS would lose, less than nothing):
 *   - of a file: everything up to its last fdatasync; of what was written or cut since: nothing, all, a beginning whose last write is
 *     torn at a sector of 512 bytes, or any sectors of it;
 *   - of a folder: every name up to its last fsync; of the links, renames and removals since: a beginning, or any of them. One rename
 *     is never half done.
 * fsync of a file does not make its name durable, nor that of a folder the files in it.
 * One disk at a time in a process. Threads: any; calls are noted in one order. */
#ifndef OTTLA_SIM_DISK_H
#define OTTLA_SIM_DISK_H

#include "storage/io.h"

extern const struct io_ops io_sim;

/* Begins with an empty folder `path`, which is made. After sim_disk_power_cut(): with what was left. */
void sim_disk_begin(const char *path);
/* Ends it; removes the folder. */
void sim_disk_end(void);

/* The power goes at the call-th change from now on: it and all later ones fail with -EIO and change nothing. -1: never. */
void sim_disk_cut_after(int64_t calls);
bool sim_disk_is_dead(void);
int64_t sim_disk_changes(void); /* calls that changed something since begin or the last cut */

/* What the disk might hold now, by chance, becomes the folder's content, all of it durable. Everything must be closed. */
void sim_disk_power_cut(uint64_t *random);
/* The process alone was killed: what was written is there, but not yet durable. */
void sim_disk_kill(void);

/* -- faults that the tests must notice -- */

enum sim_disk_fault {
    SIM_DISK_SOUND,
    SIM_DISK_NO_FOLDER_SYNC,   /* fsync of folders does nothing */
    SIM_DISK_NO_LOG_SYNC,      /* fdatasync of .log files does nothing */
    SIM_DISK_NO_CLEANED_SYNC,  /* nor that of what compaction has written */
    SIM_DISK_NO_SMALL_SYNC,    /* nor that of .tmp files, which are renamed afterwards */
    SIM_DISK_NO_TRUNCATE_SYNC, /* fdatasync keeps what was written and forgets what was cut */
    SIM_DISK_FAULTS
};
extern const char *const sim_disk_fault_names[SIM_DISK_FAULTS];
void sim_disk_set_fault(enum sim_disk_fault fault);

#endif
