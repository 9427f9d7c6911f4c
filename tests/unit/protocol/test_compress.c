/* The codecs: round trips, foreign framings, limits on what a small input may become. */
#include "protocol/compress.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <snappy-c.h>
#include <string.h>

static struct bytes content(uint32_t size, int kind)
{
    struct bytes b = {0};
    uint32_t state = 1;
    bytes_room(&b, size + 1);
    for (uint32_t i = 0; i < size; i++) {
        state = state * 1103515245 + 12345;
        b.ptr[i] = kind == 0 ? 0 : kind == 1 ? (uint8_t) "abcdefgh"[state >> 29] : (uint8_t)(state >> 16);
    }
    b.len = size;
    return b;
}

Test(compress, what_goes_in_comes_out_for_every_codec_level_and_size)
{
    static const uint32_t sizes[] = {0, 1, 100, 32768, 32769, 200000, 3000000};
    static const int32_t levels_of[COMPRESSION_CODECS][4] = {
        [COMPRESSION_GZIP] = {COMPRESSION_LEVEL_DEFAULT, 1, 6, 9},
        [COMPRESSION_LZ4] = {COMPRESSION_LEVEL_DEFAULT, 1, 9, 17},
        [COMPRESSION_ZSTD] = {COMPRESSION_LEVEL_DEFAULT, -131072, 3, 9},
        [COMPRESSION_NONE] = {COMPRESSION_LEVEL_DEFAULT},
        [COMPRESSION_SNAPPY] = {COMPRESSION_LEVEL_DEFAULT},
    };
    for (int codec = 0; codec < COMPRESSION_CODECS; codec++) {
        bool leveled = levels_of[codec][1] != 0;
        const int32_t *levels = levels_of[codec];
        for (size_t s = 0; s < countof(sizes); s++) {
            for (int kind = 0; kind < 3; kind++) {
                struct bytes in = content(sizes[s], kind), packed = {0}, out = {0};
                for (int l = 0; l < (leveled && sizes[s] < 1000000 ? 4 : 1); l++) {
                    bytes_reset(&packed);
                    bytes_reset(&out);
                    bytes_append_text(&packed, "before");
                    bytes_append_text(&out, "kept");
                    cr_assert_eq(compress_append((enum compression_codec)codec, levels[l], bytes_slice(&in), &packed),
                                 0);
                    struct slice p = slice_make(packed.ptr + 6, packed.len - 6);
                    cr_assert_eq(decompress_append((enum compression_codec)codec, p, in.len, &out), 0,
                                 "%s level %d size %u", compression_name(codec), levels[l], in.len);
                    cr_assert_eq(out.len, in.len + 4);
                    cr_assert(memcmp(out.ptr, "kept", 4) == 0 && memcmp(out.ptr + 4, in.ptr, in.len) == 0);
                }
                bytes_done(&in), bytes_done(&packed), bytes_done(&out);
            }
        }
    }
}

Test(compress, no_content_beyond_the_limit)
{
    for (int codec = 0; codec < COMPRESSION_CODECS; codec++) {
        struct bytes in = content(10000000, 0), packed = {0}, out = {0};
        cr_assert_eq(
            compress_append((enum compression_codec)codec, COMPRESSION_LEVEL_DEFAULT, bytes_slice(&in), &packed), 0);
        cr_assert_eq(decompress_append((enum compression_codec)codec, bytes_slice(&packed), 9999999, &out), -EFBIG,
                     "%s", compression_name(codec));
        cr_assert_eq(out.len, 0);
        cr_assert(out.size < 30000000);
        cr_assert_eq(decompress_append((enum compression_codec)codec, bytes_slice(&packed), 10000000, &out), 0);
        bytes_done(&in), bytes_done(&packed), bytes_done(&out);
    }
}

Test(compress, a_cut_or_foreign_input_is_refused)
{
    for (int codec = COMPRESSION_GZIP; codec < COMPRESSION_CODECS; codec++) {
        struct bytes in = content(50000, 1), packed = {0}, out = {0};
        cr_assert_eq(
            compress_append((enum compression_codec)codec, COMPRESSION_LEVEL_DEFAULT, bytes_slice(&in), &packed), 0);
        for (uint32_t len = 1; len < packed.len; len += 1 + len / 100) {
            bytes_reset(&out);
            int r = decompress_append((enum compression_codec)codec, slice_make(packed.ptr, len), 1000000, &out);
            /* Xerial framing has no end mark: whole blocks are content. */
            bool boundary = codec == COMPRESSION_SNAPPY && r == 0 && out.len % 32768 == 0;
            cr_assert(r == -EBADMSG || boundary, "%s cut at %u: %d", compression_name(codec), len, r);
        }
        cr_assert_eq(decompress_append((enum compression_codec)codec, SLICE("this is not compressed"), 1000, &out),
                     -EBADMSG);
        bytes_done(&in), bytes_done(&packed), bytes_done(&out);
    }
    struct bytes out = {0};
    cr_assert_eq(decompress_append((enum compression_codec)5, SLICE("x"), 1000, &out), -EINVAL);
}

Test(compress, snappy_without_framing_is_read)
{
    struct bytes in = content(100000, 1), out = {0};
    size_t size = snappy_max_compressed_length(in.len);
    char *packed = malloc(size);
    cr_assert_eq(snappy_compress((const char *)in.ptr, in.len, packed, &size), SNAPPY_OK);
    cr_assert_eq(decompress_append(COMPRESSION_SNAPPY, slice_make(packed, (uint32_t)size), 100000, &out), 0);
    cr_assert(slice_eq(bytes_slice(&in), bytes_slice(&out)));
    free(packed);
    bytes_done(&in), bytes_done(&out);
}

Test(compress, gzip_members_follow_each_other)
{
    struct bytes packed = {0}, out = {0};
    cr_assert_eq(compress_append(COMPRESSION_GZIP, 6, SLICE("one "), &packed), 0);
    cr_assert_eq(compress_append(COMPRESSION_GZIP, 6, SLICE("two"), &packed), 0);
    cr_assert_eq(decompress_append(COMPRESSION_GZIP, bytes_slice(&packed), 100, &out), 0);
    cr_assert(slice_eq_text(bytes_slice(&out), "one two"));
    bytes_done(&packed), bytes_done(&out);
}

Test(compress, names)
{
    enum compression_codec codec;
    for (int i = 0; i < COMPRESSION_CODECS; i++) {
        cr_assert(compression_parse(compression_name(i), &codec));
        cr_assert_eq((int)codec, i);
    }
    cr_assert(compression_parse("uncompressed", &codec) && codec == COMPRESSION_NONE);
    cr_assert(!compression_parse("producer", &codec));
    cr_assert_null(compression_name(COMPRESSION_CODECS));
    cr_assert_null(compression_name(-1));
}
