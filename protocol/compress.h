/* protocol/compress.h: the five codecs of record batches behind one table.
 *
 * Formats: gzip (RFC 1952), Snappy in the framing of the Java library "xerial" (written) or as one raw block (also
 * read, as librdkafka writes it), LZ4 frame with independent blocks (Java reads no others), Zstandard frame.
 * Invariants: decompression writes at most the number of bytes that its caller allows, and takes memory in proportion
 * to what it has really produced or to that limit, whatever lengths the input claims. Threads: any; no state is kept.
 */
#ifndef OTTLA_COMPRESS_H
#define OTTLA_COMPRESS_H

#include "base/bytes.h"

/* The low three bits of a batch's attributes. */
enum compression_codec {
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_SNAPPY,
    COMPRESSION_LZ4,
    COMPRESSION_ZSTD,
    COMPRESSION_CODECS,
};

#define COMPRESSION_LEVEL_DEFAULT INT32_MIN

/* "none", "gzip", "snappy", "lz4", "zstd"; NULL for another number. */
const char *compression_name(int codec);
/* Takes these names, and "uncompressed" as topics say it. false: another word. */
bool compression_parse(const char *name, enum compression_codec *ret_codec);

/* Appends in, compressed, to out. COMPRESSION_NONE copies. level: in the codec's range, or COMPRESSION_LEVEL_DEFAULT.
 * Returns 0; -ENOMEM (also when out is or becomes failed); -EINVAL: no such codec. */
int compress_append(enum compression_codec codec, int32_t level, struct slice in, struct bytes *out) WARN_UNUSED;

/* Appends the content of in to out. COMPRESSION_NONE copies.
 * Returns 0; -EBADMSG: damaged or cut short; -EFBIG: more than content_max bytes; -ENOMEM; -EINVAL: no such codec.
 * On an error out holds what it held before. */
int decompress_append(enum compression_codec codec, struct slice in, uint32_t content_max,
                      struct bytes *out) WARN_UNUSED;

/* The same for LZ4 frames of message sets of magic 0, whose header checksum Kafka's first clients computed over the
 * wrong bytes: it is not looked at. */
int decompress_append_lz4_magic0(struct slice in, uint32_t content_max, struct bytes *out) WARN_UNUSED;

#endif
