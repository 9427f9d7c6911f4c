/* tests/lib/record_check.h: checks lines of the golden vectors of records and primitives against our readers.
 *
 * A batch line ({name, valid, hex, batches | note | why}) is read and every field compared; plain batches of magic 2
 * are then built again from their records and must be the same bytes. A damaged line must be refused where Java refuses
 * it. A primitive line ({kind, value, hex}) is decoded and encoded.  Format: the README beside the vectors. */
#ifndef OTTLA_RECORD_CHECK_H
#define OTTLA_RECORD_CHECK_H

#include "base/base.h"

#include <jansson.h>

/* false: ret_why says what differs. */
bool record_line_check(const json_t *line, char *ret_why, size_t why_size);
bool primitive_line_check(const json_t *line, char *ret_why, size_t why_size);

#endif
