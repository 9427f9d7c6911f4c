/* cdc/md5.h: MD5 (RFC 1321), for name-based UUIDs (RFC 4122 version 3). Not for anything that must be secret or safe.
 */
#ifndef OTTLA_CDC_MD5_H
#define OTTLA_CDC_MD5_H

#include "base/slice.h"

#define MD5_SIZE 16

void md5(struct slice data, uint8_t ret_digest[MD5_SIZE]);

#endif
