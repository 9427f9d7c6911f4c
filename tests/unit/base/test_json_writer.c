/* The JSON writer: escapes, numbers as Java writes them (expected texts: JDK 25), base64. */
#include "base/json_writer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

static bool wrote(struct bytes *b, const char *expected)
{
    bool same = slice_eq_text(bytes_slice(b), expected);
    if (!same) fprintf(stderr, "wrote " SLICE_FMT ", expected %s\n", SLICE_ARG(bytes_slice(b)), expected);
    bytes_reset(b);
    return same;
}

Test(json_writer, strings_are_escaped_as_jackson_does)
{
    struct bytes b = {0};
    json_write_string(&b, SLICE("plain / text"));
    cr_assert(wrote(&b, "\"plain / text\""));
    json_write_string(&b, SLICE("\"\\\b\t\n\f\r\x01\x0b\x1f\x7f"));
    cr_assert(wrote(&b, "\"\\\"\\\\\\b\\t\\n\\f\\r\\u0001\\u000B\\u001F\x7f\""));
    json_write_string(&b, SLICE("a\0b"));
    cr_assert(wrote(&b, "\"a\\u0000b\""));
    json_write_string(&b, SLICE("Ж€𝄞\xe2\x80\xa8"));
    cr_assert(wrote(&b, "\"Ж€\\uD834\\uDD1E\xe2\x80\xa8\""));
    json_write_string(&b, SLICE("0123456789𝄞"));
    cr_assert(wrote(&b, "\"0123456789\\uD834\\uDD1E\""));
    json_write_string(&b, SLICE("cut: \xf0\x9d\x84"));
    cr_assert(wrote(&b, "\"cut: \xf0\x9d\x84\""));
    json_write_string(&b, SLICE_EMPTY);
    cr_assert(wrote(&b, "\"\""));
    json_write_string(&b, SLICE_NULL);
    cr_assert(wrote(&b, "null"));
    bytes_done(&b);
}

/* Every byte at every place of texts around the eight bytes that are looked at together, against the plain rule. */
Test(json_writer, every_byte_at_every_place)
{
    struct bytes b = {0};
    for (uint32_t len = 1; len < 26; len++) {
        for (uint32_t place = 0; place < len; place++) {
            for (int c = 0; c < 256; c++) {
                uint8_t text[26];
                char expected[40], *p = expected;
                memset(text, 'x', sizeof text);
                text[place] = (uint8_t)c;
                text[len - 1 - place] = (uint8_t)c; /* twice, or the middle */
                for (uint32_t i = 0; i < len; i++) {
                    const char *letter = text[i] < 0x20 && text[i] ? strchr("\bb\tt\nn\ff\rr", text[i]) : NULL;
                    if (letter) p += sprintf(p, "\\%c", letter[1]);
                    else if (text[i] < 0x20) p += sprintf(p, "\\u%04X", text[i]);
                    else if (text[i] == '"' || text[i] == '\\') p += sprintf(p, "\\%c", text[i]);
                    else *p++ = (char)text[i];
                }
                bytes_reset(&b);
                json_write_escaped(&b, slice_make(text, len));
                cr_assert(slice_eq(bytes_slice(&b), slice_make(expected, (uint32_t)(p - expected))), "%u %u %d", len,
                          place, c);
            }
        }
    }
    bytes_done(&b);
}

Test(json_writer, integers)
{
    static const int64_t values[] = {0, 1, 9, 10, 99, 100, 12345, INT32_MAX, INT64_MAX, -1, -10, -999, INT64_MIN};
    struct bytes b = {0};
    for (size_t i = 0; i < countof(values); i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
        json_write_int64(&b, values[i]);
        cr_assert(wrote(&b, expected));
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)values[i]);
        json_write_uint64(&b, (uint64_t)values[i]);
        cr_assert(wrote(&b, expected));
    }
    bytes_done(&b);
}

Test(json_writer, doubles_are_javas)
{
    static const struct {
        uint64_t bits;
        const char *text;
    } rows[] = {
        {0x1, "4.9E-324"},
        {0x2, "9.9E-324"},
        {0x10000000000000, "2.2250738585072014E-308"},
        {0x7fefffffffffffff, "1.7976931348623157E308"},
        {0x3f50624dd2f1a9fc, "0.001"},
        {0x3f4d7dbf487fcb92, "9.0E-4"},
        {0x3ee4f8b588e368f1, "1.0E-5"},
        {0x3ff0000000000000, "1.0"},
        {0x4024000000000000, "10.0"},
        {0x4059000000000000, "100.0"},
        {0x412e848000000000, "1000000.0"},
        {0x416312d000000000, "1.0E7"},
        {0x4166e36000000000, "1.2E7"},
        {0x4202a05f20000000, "1.0E10"},
        {0x44b52d02c7e14af6, "1.0E23"},
        {0x36dc8b8218854567, "2.0E-44"},
        {0x3d30000000000000, "5.684341886080802E-14"},
        {0x4340000000000000, "9.007199254740992E15"},
        {0x43e0000000000000, "9.223372036854776E18"},
        {0x3fb999999999999a, "0.1"},
        {0x3fd0000000000000, "0.25"},
        {0x3f826e978d4fdf3b, "0.009"},
        {0x4480f0cf064dd592, "1.0E22"},
        {0x444b1ae4d6e2ef50, "1.0E21"},
        {0xc3ca292c669d68f1, "-3.7701734765409E18"},
        {0x58e1ac2ed01e61ff, "1.4260950496562222E120"},
        {0x404b2a06be1a7dc7, "54.328330767569746"},
        {0x13a1aad5b91b23c4, "4.1E-214"},
        {0x433cc562c6ff8cfd, "8.098327384001789E15"},
        {0x403f60e560418937, "31.3785"},
        {0x5ebf468afb36c34e, "2.4994413677757274E148"},
        {0x40f62ee333333333, "90862.2"},
        {0xaacb671ab51c0e3, "2.987908715496979E-257"},
        {0xc309a314b2b90ab0, "-9.02022963863894E14"},
        {0x1d62a1a46e70772e, "3.9494649234582394E-167"},
        {0xdd3d962bb060d072, "-1.4093313382811245E141"},
        {0x2774d829809ac159, "1.291548642300763E-118"},
        {0x3f64c09ac22cd5be, "0.002533247244538044"},
        {0x3fec725e56cd6c2f, "0.888961"},
        {0x11e3bfef18fdd124, "1.70739750156699E-222"},
        {0x3edba8486353c349, "6.5940271742760866E-6"},
        {0x4073746e978d4fdf, "311.277"},
        {0x1468bd1a85878b97, "2.3515253598495805E-210"},
        {0x4050756bb98c7e28, "65.8347"},
        {0x14461d68b2e075d6, "5.255301203206739E-211"},
        {0xdfa77ed6e27be461, "-6.152787118207482E152"},
        {0x6d2fe8c0b9119770, "8.8E217"},
        {0x3bfa5b30a1846751, "8.929831564630118E-20"},
    };
    struct bytes b = {0};
    for (size_t i = 0; i < countof(rows); i++) {
        double value;
        memcpy(&value, &rows[i].bits, sizeof value);
        json_write_double(&b, value);
        cr_assert(wrote(&b, rows[i].text));
    }
    json_write_double(&b, 0.0);
    cr_assert(wrote(&b, "0.0"));
    json_write_double(&b, -0.0);
    cr_assert(wrote(&b, "-0.0"));
    bytes_done(&b);
}

Test(json_writer, floats_are_javas)
{
    static const struct {
        uint32_t bits;
        const char *text;
    } rows[] = {
        {0x1, "1.4E-45"},
        {0x2, "2.8E-45"},
        {0x7f7fffff, "3.4028235E38"},
        {0x3dcccccd, "0.1"},
        {0x3f800000, "1.0"},
        {0x4b800000, "1.6777216E7"},
        {0x4c000000, "3.3554432E7"},
        {0x3a83126f, "0.001"},
        {0x6, "8.4E-45"},
        {0xe9efc921, "-3.6235384E25"},
        {0x98a1a39, "3.324695E-33"},
        {0x7f0db3a8, "1.8835398E38"},
        {0xbf20afeb, "-0.6276843"},
        {0xd4dbe2c4, "-7.5552187E12"},
        {0x4a312313, "2902212.8"},
        {0x26f59cc2, "1.7042779E-15"},
        {0x481f8cc0, "163379.0"},
        {0x46960acd, "19205.4"},
        {0xe71f5bf0, "-7.525522E23"},
        {0x23d9bcbd, "2.3607121E-17"},
        {0xa91c71d9, "-3.4737705E-14"},
        {0xa67339da, "-8.4385964E-16"},
        {0x38b647de, "8.6918226E-5"},
        {0x23583326, "1.17202146E-17"},
        {0xdb9f7c7b, "-8.978278E16"},
    };
    struct bytes b = {0};
    for (size_t i = 0; i < countof(rows); i++) {
        float value;
        memcpy(&value, &rows[i].bits, sizeof value);
        json_write_float(&b, value);
        cr_assert(wrote(&b, rows[i].text));
        cr_assert(json_write_float_text(&b, slice_of(rows[i].text)));
        cr_assert(wrote(&b, rows[i].text));
    }
    bytes_done(&b);
}

/* No number is lost in its digits: what was written reads back. */
Test(json_writer, numbers_read_back)
{
    struct bytes b = {0};
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        double value;
        memcpy(&value, &state, sizeof value);
        if (!isfinite(value)) continue;
        json_write_double(&b, value);
        bytes_append_byte(&b, 0);
        cr_assert_eq(strtod((char *)b.ptr, NULL), value);
        bytes_reset(&b);
        float single;
        memcpy(&single, &state, sizeof single);
        if (!isfinite(single)) continue;
        json_write_float(&b, single);
        bytes_append_byte(&b, 0);
        cr_assert_eq(strtof((char *)b.ptr, NULL), single);
        bytes_reset(&b);
    }
    bytes_done(&b);
}

Test(json_writer, the_texts_of_postgresql_are_laid_out_anew)
{
    static const char *const rows[][2] = {
        {"0", "0.0"},
        {"-0", "-0.0"},
        {"1", "1.0"},
        {"100", "100.0"},
        {"1e+10", "1.0E10"},
        {"1e-05", "1.0E-5"},
        {"12345678", "1.2345678E7"},
        {"0.001", "0.001"},
        {"0.0001", "1.0E-4"},
        {"1e+22", "1.0E22"},
        {"-1.5e-05", "-1.5E-5"},
        {"10000000", "1.0E7"},
        {"1230000", "1230000.0"},
        {"3.14", "3.14"},
        {"1.7976931348623157e+308", "1.7976931348623157E308"},
        {"0.30000000000000004", "0.30000000000000004"},
    };
    static const char *const refused[] = {"",    "NaN", "Infinity", "-Infinity", "1.2.3", "1e",
                                          "1e+", "12x", "-",        ".",         "e5"};
    struct bytes b = {0};
    for (size_t i = 0; i < countof(rows); i++) {
        cr_assert(json_write_float_text(&b, slice_of(rows[i][0])));
        cr_assert(wrote(&b, rows[i][1]));
    }
    cr_assert(json_write_float_text(&b, SLICE("1e-45")));
    cr_assert(wrote(&b, "1.4E-45"));
    for (size_t i = 0; i < countof(refused); i++) {
        cr_assert(!json_write_float_text(&b, slice_of(refused[i])), "%s", refused[i]);
        cr_assert_eq(b.len, 0);
    }
    bytes_done(&b);
}

Test(json_writer, base64)
{
    static const char *const rows[][2] = {{"", "\"\""},        {"f", "\"Zg==\""},        {"fo", "\"Zm8=\""},
                                          {"foo", "\"Zm9v\""}, {"foob", "\"Zm9vYg==\""}, {"\xfb\xff\xfe", "\"+//+\""}};
    struct bytes b = {0};
    for (size_t i = 0; i < countof(rows); i++) {
        json_write_base64(&b, slice_of(rows[i][0]));
        cr_assert(wrote(&b, rows[i][1]));
    }
    json_write_base64(&b, SLICE_NULL);
    cr_assert(wrote(&b, "null"));
    bytes_done(&b);
}

Test(bytes, a_failed_array_takes_nothing_any_more)
{
    struct bytes b = {0};
    bytes_append_text(&b, "kept");
    cr_assert_null(bytes_room(&b, (size_t)BYTES_LEN_MAX));
    cr_assert(b.failed);
    bytes_append_byte(&b, 'x');
    cr_assert_eq(b.len, 4);
    bytes_reset(&b);
    bytes_append_text(&b, "again");
    cr_assert(slice_eq_text(bytes_slice(&b), "again"));
    bytes_done(&b);
}
