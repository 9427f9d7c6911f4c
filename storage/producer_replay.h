/* storage/producer_replay.h: the producers of a log whose folder is being loaded. */
#ifndef OTTLA_PRODUCER_REPLAY_H
#define OTTLA_PRODUCER_REPLAY_H

#include "storage/folder_files.h"

/* As log_replay_producers(), with the folder's listing at hand. */
int producer_replay(struct partition_log *log, struct folder *f, int64_t snapshot_max) WARN_UNUSED;

#endif
