/* storage/compact_resume.h: an interrupted compaction is finished. */
#ifndef OTTLA_COMPACT_RESUME_H
#define OTTLA_COMPACT_RESUME_H

#include "storage/folder_files.h"

/* Removes or renames files so that no .swap is left; the listing is to be read anew then. Returns 0 or -errno. */
int compact_resume(struct folder *f) WARN_UNUSED;

#endif
