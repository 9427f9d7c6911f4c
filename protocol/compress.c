/* protocol/compress.c: see compress.h: one pair of functions for each codec, then the table. What a frame claims as its
 * length is a hint: room grows with what was produced. */
#include "protocol/compress.h"

#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_decompressBound() */

#include <errno.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#define GROWTH_BYTES_MIN (16 * 1024) /* output room when no length is known: first this, then as much as there is */

#define GZIP_WINDOW_BITS (15 + 16) /* largest window; gzip header and trailer */
#define GZIP_MEM_LEVEL   8         /* zlib's default */

#define XERIAL_HEADER_BYTES 16
#define XERIAL_BLOCK_BYTES  (32 * 1024) /* as the Java library cuts its input */
static const uint8_t xerial_header[XERIAL_HEADER_BYTES] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                           0,    0,   0,   1,   0,   0,   0,   1};
#define XERIAL_MAGIC_BYTES 8

#define LZ4_LEVEL_FAST 9 /* Kafka's default level: there it selects the fast compressor */

/* Room for the next piece of decompressed content: what is there, else grown, never beyond limit (a length of out).
 * NULL: out of memory, or limit is reached. */
static uint8_t *content_room(struct bytes *out, uint64_t limit, uint32_t *ret_room)
{
    uint64_t left = limit - out->len;
    if (left == 0) return NULL;
    if (out->size == out->len && !bytes_room(out, (size_t)MIN(left, MAX(out->len, GROWTH_BYTES_MIN)))) return NULL;
    *ret_room = (uint32_t)MIN((uint64_t)(out->size - out->len), left);
    return out->ptr + out->len;
}

/* -- none -- */

static int none_compress(int32_t level, struct slice in, struct bytes *out)
{
    bytes_append_slice(out, in);
    return out->failed ? -ENOMEM : 0;
}

static int none_decompress(struct slice in, uint64_t limit, struct bytes *out)
{
    if (in.len > limit - out->len) return -EFBIG;
    return none_compress(0, in, out);
}

/* -- gzip -- */

static int gzip_compress(int32_t level, struct slice in, struct bytes *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    uLong bound = deflateBound(&z, in.len);
    uint8_t *room = bytes_room(out, bound);
    int r = Z_MEM_ERROR;
    if (room) {
        z.next_in = (Bytef *)(uintptr_t)in.ptr;
        z.avail_in = in.len;
        z.next_out = room;
        z.avail_out = (uInt)bound;
        r = deflate(&z, Z_FINISH);
        out->len += (uint32_t)z.total_out;
    }
    deflateEnd(&z);
    return r == Z_STREAM_END ? 0 : -ENOMEM;
}

/* Members may follow each other; what follows the last one and is none is ignored, as Java's reader does. */
static int gzip_decompress(struct slice in, uint64_t limit, struct bytes *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = in.len};
    int result = -EBADMSG;
    if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK) return -ENOMEM;
    for (;;) {
        uint32_t room;
        uint8_t full; /* when no content may come any more, the end of the stream still may */
        uint8_t *p = content_room(out, limit, &room);
        if (!p && out->failed) {
            result = -ENOMEM;
            break;
        }
        z.next_out = p ? p : &full;
        z.avail_out = p ? room : 1;
        uInt before = z.avail_out;
        int r = inflate(&z, Z_NO_FLUSH);
        uint32_t written = before - z.avail_out;
        if (!p && written) {
            result = -EFBIG;
            break;
        }
        out->len += written;
        if (r == Z_STREAM_END) {
            if (z.avail_in < 2 || z.next_in[0] != 0x1f || z.next_in[1] != 0x8b) {
                result = 0;
                break;
            }
            r = inflateReset(&z);
        }
        if (r == Z_MEM_ERROR) result = -ENOMEM;
        if (r != Z_OK) break;
    }
    inflateEnd(&z);
    return result;
}

/* -- snappy -- */

static int snappy_compress_block(struct slice in, struct bytes *out)
{
    size_t size = snappy_max_compressed_length(in.len);
    uint8_t *p = bytes_room(out, 4 + size);
    if (!p) return -ENOMEM;
    if (snappy_compress((const char *)in.ptr, in.len, (char *)p + 4, &size) != SNAPPY_OK) return -EINVAL;
    be32_store(p, (uint32_t)size);
    out->len += 4 + (uint32_t)size;
    return 0;
}

static int snappy_compress_framed(int32_t level, struct slice in, struct bytes *out)
{
    bytes_append(out, xerial_header, XERIAL_HEADER_BYTES);
    int error = out->failed ? -ENOMEM : 0;
    for (uint32_t at = 0; at < in.len && !error; at += XERIAL_BLOCK_BYTES)
        error = snappy_compress_block(slice_make(in.ptr + at, MIN(in.len - at, (uint32_t)XERIAL_BLOCK_BYTES)), out);
    return error;
}

static int snappy_decompress_block(struct slice in, uint64_t limit, struct bytes *out)
{
    size_t size;
    const char *p = (const char *)in.ptr;
    if (snappy_uncompressed_length(p, in.len, &size) != SNAPPY_OK) return -EBADMSG;
    if (size > limit - out->len) return -EFBIG;
    /* The length is only claimed: look whether the block is sound before memory is taken for it. */
    if (size > GROWTH_BYTES_MIN && snappy_validate_compressed_buffer(p, in.len) != SNAPPY_OK) return -EBADMSG;
    char *room = (char *)bytes_room(out, size);
    if (!room) return -ENOMEM;
    if (snappy_uncompress(p, in.len, room, &size) != SNAPPY_OK) return -EBADMSG;
    out->len += (uint32_t)size;
    return 0;
}

static int snappy_decompress(struct slice in, uint64_t limit, struct bytes *out)
{
    if (in.len < XERIAL_HEADER_BYTES || memcmp(in.ptr, xerial_header, XERIAL_MAGIC_BYTES) != 0)
        return snappy_decompress_block(in, limit, out);
    for (uint32_t at = XERIAL_HEADER_BYTES; at < in.len;) {
        if (in.len - at < 4) return -EBADMSG;
        uint32_t size = be32_load(in.ptr + at);
        at += 4;
        if (size > in.len - at) return -EBADMSG;
        int error = snappy_decompress_block(slice_make(in.ptr + at, size), limit, out);
        if (error) return error;
        at += size;
    }
    return 0;
}

/* -- lz4 -- */

static int lz4_compress(int32_t level, struct slice in, struct bytes *out)
{
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = level == LZ4_LEVEL_FAST ? 0 : MAX(level, LZ4HC_CLEVEL_MIN),
    };
    size_t bound = LZ4F_compressFrameBound(in.len, &preferences);
    uint8_t *room = bytes_room(out, bound);
    if (!room) return -ENOMEM;
    size_t size = LZ4F_compressFrame(room, bound, in.ptr, in.len, &preferences);
    if (LZ4F_isError(size)) return -ENOMEM;
    out->len += (uint32_t)size;
    return 0;
}

/* Feeds in to the open frame. Returns 0, LZ4's hint of how many bytes are still wanted in *ret_wanted (0: the frame
 * ended). */
static int lz4_feed(LZ4F_dctx *context, struct slice in, uint64_t limit, struct bytes *out, size_t *ret_wanted)
{
    LZ4F_decompressOptions_t options = {0};
    size_t wanted = 1;
    uint32_t at = 0;
    for (;;) {
        uint32_t room;
        uint8_t full;
        uint8_t *p = content_room(out, limit, &room);
        if (!p && out->failed) return -ENOMEM;
        size_t written = p ? room : 1, read = in.len - at;
        wanted = LZ4F_decompress(context, p ? p : &full, &written, in.ptr + at, &read, &options);
        if (LZ4F_isError(wanted)) return -EBADMSG;
        if (!p && written) return -EFBIG;
        out->len += (uint32_t)written;
        at += (uint32_t)read;
        if (wanted == 0 || (!read && !written)) break;
    }
    *ret_wanted = wanted;
    return 0;
}

static int lz4_decompress(struct slice in, uint64_t limit, struct bytes *out)
{
    LZ4F_dctx *context;
    size_t wanted;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return -ENOMEM;
    int error = lz4_feed(context, in, limit, out, &wanted);
    LZ4F_freeDecompressionContext(context);
    if (error) return error;
    return wanted ? -EBADMSG : 0; /* no end mark came */
}

/* -- zstd -- */

static int zstd_compress(int32_t level, struct slice in, struct bytes *out)
{
    size_t bound = ZSTD_compressBound(in.len);
    uint8_t *room = bytes_room(out, bound);
    if (!room) return -ENOMEM;
    size_t size = ZSTD_compress(room, bound, in.ptr, in.len, level);
    if (ZSTD_isError(size)) return -ENOMEM;
    out->len += (uint32_t)size;
    return 0;
}

/* In one step, so that the output is the window and no header can ask for another one. Java's frames have no content
 * size; the bound is then 128 KiB per block, of which untouched pages cost nothing. */
static int zstd_decompress(struct slice in, uint64_t limit, struct bytes *out)
{
    unsigned long long bound = ZSTD_decompressBound(in.ptr, in.len);
    uint64_t left = limit - out->len;
    if (bound == ZSTD_CONTENTSIZE_ERROR) return -EBADMSG;
    size_t room_size = (size_t)MIN((uint64_t)bound, left);
    uint8_t *room = bytes_room(out, room_size);
    if (!room) return -ENOMEM;
    size_t size = ZSTD_decompress(room, room_size, in.ptr, in.len);
    if (ZSTD_isError(size)) {
        /* Not by its error code, which belongs to zstd's unstable part. */
        return bound > left ? -EFBIG : -EBADMSG;
    }
    out->len += (uint32_t)size;
    return 0;
}

/* -- the table -- */

/* The libraries' functions, less the codec: limit is the length that out may reach. */
static const struct codec {
    const char *name;
    int (*compress)(int32_t level, struct slice in, struct bytes *out);
    int (*decompress)(struct slice in, uint64_t limit, struct bytes *out);
    int32_t level_default; /* as Kafka's topic options say */
} codecs[COMPRESSION_CODECS] = {
    [COMPRESSION_NONE] = {"none", none_compress, none_decompress, 0},
    [COMPRESSION_GZIP] = {"gzip", gzip_compress, gzip_decompress, -1},
    [COMPRESSION_SNAPPY] = {"snappy", snappy_compress_framed, snappy_decompress, 0},
    [COMPRESSION_LZ4] = {"lz4", lz4_compress, lz4_decompress, LZ4_LEVEL_FAST},
    [COMPRESSION_ZSTD] = {"zstd", zstd_compress, zstd_decompress, 3},
};

static const struct codec *codec_find(int codec)
{
    return codec >= 0 && codec < COMPRESSION_CODECS ? &codecs[codec] : NULL;
}

const char *compression_name(int codec)
{
    const struct codec *c = codec_find(codec);
    return c ? c->name : NULL;
}

bool compression_parse(const char *name, enum compression_codec *ret_codec)
{
    if (strcmp(name, "uncompressed") == 0) name = "none";
    for (int i = 0; i < COMPRESSION_CODECS; i++) {
        if (strcmp(name, codecs[i].name) != 0) continue;
        *ret_codec = (enum compression_codec)i;
        return true;
    }
    return false;
}

int compress_append(enum compression_codec codec, int32_t level, struct slice in, struct bytes *out)
{
    const struct codec *c = codec_find((int)codec);
    if (!c) return -EINVAL;
    if (out->failed) return -ENOMEM;
    return c->compress(level == COMPRESSION_LEVEL_DEFAULT ? c->level_default : level, in, out);
}

/* Only the output's own memory counts as failed: a limit that was reached says nothing about out. */
static int decompress_with(int (*decompress)(struct slice, uint64_t, struct bytes *), struct slice in,
                           uint32_t content_max, struct bytes *out)
{
    uint32_t before = out->len;
    if (out->failed) return -ENOMEM;
    int error = decompress(in, (uint64_t)before + content_max, out);
    if (error) out->len = before;
    return error;
}

int decompress_append(enum compression_codec codec, struct slice in, uint32_t content_max, struct bytes *out)
{
    const struct codec *c = codec_find((int)codec);
    return c ? decompress_with(c->decompress, in, content_max, out) : -EINVAL;
}

/* -- lz4 in message sets of magic 0 -- */

#define LZ4_MAGIC_BYTES        4
#define LZ4_HEADER_BYTES_MIN   7 /* magic, flags, block size, checksum */
#define LZ4_FLAG_CONTENT_SIZE  0x08
#define LZ4_CONTENT_SIZE_BYTES 8
#define LZ4_FLAG_DICTIONARY    0x01

/* XXH32 (seed 0) of fewer than 16 bytes, of which LZ4's header checksum is the second byte. Source: the xxHash
 * specification, steps for small inputs. */
static uint32_t xxh32_short(const uint8_t *p, size_t size)
{
    const uint32_t prime_1 = 0x9e3779b1u, prime_2 = 0x85ebca77u, prime_3 = 0xc2b2ae3du, prime_4 = 0x27d4eb2fu,
                   prime_5 = 0x165667b1u;
    uint32_t h = prime_5 + (uint32_t)size;
    for (; size >= 4; p += 4, size -= 4) {
        uint32_t word = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        h += word * prime_3;
        h = (h << 17 | h >> 15) * prime_4;
    }
    for (; size; p++, size--) {
        h += *p * prime_5;
        h = (h << 11 | h >> 21) * prime_1;
    }
    h = (h ^ h >> 15) * prime_2;
    h = (h ^ h >> 13) * prime_3;
    return h ^ h >> 16;
}

/* The library insists on the checksum: it gets a header that has the right one, then the frame from behind it. */
static int lz4_magic0_decompress(struct slice in, uint64_t limit, struct bytes *out)
{
    if (in.len < LZ4_HEADER_BYTES_MIN) return -EBADMSG;
    uint8_t flags = in.ptr[LZ4_MAGIC_BYTES];
    uint32_t descriptor_size = 2 + (flags & LZ4_FLAG_CONTENT_SIZE ? LZ4_CONTENT_SIZE_BYTES : 0);
    uint32_t header_size = LZ4_MAGIC_BYTES + descriptor_size + 1;
    if (flags & LZ4_FLAG_DICTIONARY || in.len < header_size) return -EBADMSG;

    uint8_t header[LZ4_HEADER_BYTES_MIN + LZ4_CONTENT_SIZE_BYTES];
    memcpy(header, in.ptr, header_size);
    header[header_size - 1] = (uint8_t)(xxh32_short(header + LZ4_MAGIC_BYTES, descriptor_size) >> 8);

    LZ4F_dctx *context;
    size_t wanted;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return -ENOMEM;
    int error = lz4_feed(context, slice_make(header, header_size), limit, out, &wanted);
    if (!error && wanted)
        error = lz4_feed(context, slice_make(in.ptr + header_size, in.len - header_size), limit, out, &wanted);
    LZ4F_freeDecompressionContext(context);
    if (error) return error;
    return wanted ? -EBADMSG : 0;
}

int decompress_append_lz4_magic0(struct slice in, uint32_t content_max, struct bytes *out)
{
    return decompress_with(lz4_magic0_decompress, in, content_max, out);
}
