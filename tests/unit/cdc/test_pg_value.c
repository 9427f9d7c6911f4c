/* Conversion of values, row by row: type, modifier, mode, text of the server, JSON. Observed values: docs/cdc-types.md.
 */
#include "tests/unit/cdc/encode_fixture.h"

#define REFUSED "(refused)"

static const char *convert(const struct pg_connector_config *config, const struct pg_type *type, const char *text)
{
    static char shown[4000];
    struct arena a;
    struct bytes out = {0};
    struct connect_value value;

    arena_init(&a, 1 << 22);
    const struct pg_converter *c = pg_converter_new(&a, config, type, true, false);
    cr_assert(c, "type %u is not shown", type->oid);
    bool good = c->convert(c, slice_of(text), &a, &value);
    if (good) connect_value_json(&value, c->schema, DECIMAL_AS_BASE64, &out);
    snprintf(shown, sizeof(shown), SLICE_FMT, SLICE_ARG(bytes_slice(&out)));
    bytes_done(&out);
    arena_done(&a);
    return good ? shown : REFUSED;
}

#define NUMERIC(p, s) (((p) << 16 | (s)) + 4)

static const struct {
    const char *mode; /* NULL: defaults */
    uint32_t oid;
    int32_t typmod;
    const char *text, *json;
} rows[] = {
    {NULL, 21, -1, "-32768", "-32768"},
    {NULL, 21, -1, "32768", REFUSED},
    {NULL, 20, -1, "-9223372036854775808", "-9223372036854775808"},
    {NULL, 20, -1, "9223372036854775808", REFUSED},
    {NULL, 23, -1, "", REFUSED},
    {NULL, 23, -1, "1x", REFUSED},
    {NULL, 700, -1, "1e-07", "1.0E-7"},
    {NULL, 701, -1, "NaN", "\"NaN\""},
    {NULL, 701, -1, "-Infinity", "\"-Infinity\""},
    {NULL, 16, -1, "t", "true"},
    {NULL, 1560, 1, "0", "false"},
    {NULL, 1560, 40, "1111000011110000111100001111000011110001", "\"8fDw8PA=\""},
    {NULL, 1560, 8, "10100102", REFUSED},
    {NULL, 1562, 12, "", "\"\""},
    {NULL, 17, -1, "\\x00ff10", "\"AP8Q\""},
    {NULL, 17, -1, "\\x0", REFUSED},
    {NULL, 17, -1, "plain", REFUSED},
    {"binary.handling.mode=hex", 17, -1, "\\x00FF10", "\"00ff10\""},
    {"binary.handling.mode=base64-url-safe", 17, -1, "\\xdeadbeef", "\"3q2-7w==\""},
    {NULL, 1700, NUMERIC(10, 2), "12345678.90", "\"SZYC0g==\""},
    {NULL, 1700, NUMERIC(10, 2), "-0.01", "\"/w==\""},
    {NULL, 1700, NUMERIC(10, 2), "0.00", "\"AA==\""},
    {NULL, 1700, NUMERIC(10, 2), "1.28", "\"AIA=\""},
    {NULL, 1700, NUMERIC(10, 2), "-1.28", "\"gA==\""},
    {NULL, 1700, NUMERIC(10, 2), "-1.29", "\"/38=\""},
    {NULL, 1700, NUMERIC(38, 10), "-9999999999999999999999999999.0123456789", "\"tMSzV6V5O4X2dd3CTLAW6w==\""},
    {NULL, 1700, NUMERIC(10, 2), "NaN", REFUSED},
    {NULL, 1700, NUMERIC(4, 0x7fe), "123400", "\"AeII\""}, /* numeric(4,-2) */
    {NULL, 1700, -1, "3.14159265358979323846", "{\"scale\":20,\"value\":\"EQfV61tbpNfG\"}"},
    {NULL, 1700, -1, "2.250", "{\"scale\":2,\"value\":\"AOE=\"}"},
    {NULL, 1700, -1, "0.000", "{\"scale\":0,\"value\":\"AA==\"}"},
    {NULL, 1700, -1, "1000", "{\"scale\":0,\"value\":\"A+g=\"}"},
    {"decimal.handling.mode=string", 1700, -1, "-Infinity", "\"NEGATIVE_INFINITY\""},
    {"decimal.handling.mode=string", 1700, NUMERIC(10, 2), "1.10", "\"1.10\""},
    {"decimal.handling.mode=double", 1700, -1, "0.00000001", "1.0E-8"},
    {NULL, 790, -1, "$12,345.67", "\"EtaH\""},
    {NULL, 790, -1, "-$0.01", "\"/w==\""},
    {"money.fraction.digits=4", 790, -1, "$1.23", "\"MAw=\""},
    {"decimal.handling.mode=string", 790, -1, "-$1,000.05", "\"-1000.05\""},
    {"decimal.handling.mode=double", 790, -1, "$92,233,720,368,547,758.07", "9.223372036854776E16"},
    {NULL, 1082, -1, "2024-02-29", "19782"},
    {NULL, 1082, -1, "0044-03-15 BC", "-735160"},
    {NULL, 1082, -1, "infinity", "2146033979"},
    {NULL, 1082, -1, "2024-13-01", REFUSED},
    {"time.precision.mode=isostring", 1082, -1, "-infinity", "\"-5877611-06-22Z\""},
    {"time.precision.mode=isostring", 1082, -1, "20000-01-01", "\"+20000-01-01Z\""},
    {NULL, 1083, -1, "24:00:00", "86400000000"},
    {NULL, 1083, -1, "24:00:00.1", REFUSED},
    {NULL, 1083, 3, "12:34:56.789", "45296789"},
    {"time.precision.mode=isostring", 1083, -1, "12:34:56.780", "\"12:34:56.78Z\""},
    {"time.precision.mode=nanoseconds", 1083, -1, "00:00:00.000001", "1000"},
    {NULL, 1266, -1, "23:59:59.999999-11", "\"10:59:59.999999Z\""},
    {NULL, 1266, -1, "24:00:00+00", "\"24:00:00Z\""},
    {"connector.plugin.version=2.5.4.Final", 1266, -1, "24:00:00+00", "\"00:00:00Z\""},
    {NULL, 1114, -1, "1969-12-31 23:59:59.999999", "-1"},
    {NULL, 1114, 3, "1900-01-01 23:59:59.999", "-2208902400001"},
    {NULL, 1114, -1, "-infinity", "-9223372036854775808"},
    {"time.precision.mode=connect", 1114, -1, "1900-01-01 00:00:00.000001", "-2208988800000"},
    {"time.precision.mode=connect", 1114, -1, "infinity", "9223372036825200000"},
    {"time.precision.mode=nanoseconds", 1114, -1, "2300-01-01 00:00:00", REFUSED},
    {NULL, 1184, -1, "2024-02-29 12:34:56.789123+03", "\"2024-02-29T09:34:56.789123Z\""},
    {NULL, 1184, 3, "2024-02-29 12:34:56.7+00", "\"2024-02-29T12:34:56.700Z\""},
    {NULL, 1184, 0, "2024-02-29 12:34:56+00", "\"2024-02-29T12:34:56Z\""},
    {NULL, 1184, -1, "4713-01-01 00:00:00+00 BC", "\"-4712-01-01T00:00:00.000000Z\""},
    {NULL, 1186, -1, "1 year 2 mons 3 days 04:05:06.789", "37091106789000"},
    {NULL, 1186, -1, "-1 years -2 days +03:00:00", "-31719600000000"},
    {NULL, 1186, -1, "1 fortnight", REFUSED},
    {"interval.handling.mode=string", 1186, -1, "-1 years -2 days +03:00:00", "\"P-1Y0M-2DT3H0M0S\""},
    {"interval.handling.mode=string", 1186, -1, "-00:00:00.5", "\"P0Y0M0DT0H0M-0.5S\""},
    {NULL, 600, -1, "(1.5,-2)", "{\"x\":1.5,\"y\":-2.0,\"wkb\":\"AQEAAAAAAAAAAAD4PwAAAAAAAADA\",\"srid\":null}"},
    {NULL, 628, -1, "{1,2,3}", "{\"a\":1.0,\"b\":2.0,\"c\":3.0}"},
    {NULL, 600, -1, "(1.5)", REFUSED},
};

Test(pg_value, each_type_in_each_mode)
{
    for (size_t i = 0; i < countof(rows); i++) {
        struct pg_connector_config *config = test_config((const char *[]){rows[i].mode, NULL});
        struct pg_type type = {.oid = rows[i].oid, .typmod = rows[i].typmod, .name = "", .kind = 'b'};
        cr_expect_str_eq(convert(config, &type, rows[i].text), rows[i].json, "type %u, \"%s\"", rows[i].oid,
                         rows[i].text);
        connector_config_free(config);
    }
}

Test(pg_value, arrays)
{
    static const struct pg_type text_type = {.oid = 25, .typmod = -1, .name = "text", .kind = 'b'};
    static const struct pg_type int_type = {.oid = 23, .typmod = -1, .name = "int4", .kind = 'b'};
    static const struct {
        const struct pg_type *element;
        const char *text, *json;
    } arrays[] = {
        {&int_type, "{}", "[]"},
        {&int_type, "{1,NULL,-3}", "[1,null,-3]"},
        {&int_type, "[0:1]={1,2}", "[1,2]"},
        {&int_type, "{{1,2},{3,4}}", "[null,null]"},
        {&int_type, "{1", REFUSED},
        {&int_type, "{1,x}", REFUSED},
        {&int_type, "{1}}", REFUSED},
        {&text_type, "{\"q\\\"x\",\"{}\",\",\",\"NULL\",\"\"}", "[\"q\\\"x\",\"{}\",\",\",\"NULL\",\"\"]"},
        {&text_type, "{\"open", REFUSED},
    };
    struct pg_connector_config *config = test_config(NULL);

    for (size_t i = 0; i < countof(arrays); i++) {
        struct pg_type type = {.oid = 1, .typmod = -1, .name = "_x", .kind = 'b', .element = arrays[i].element};
        cr_expect_str_eq(convert(config, &type, arrays[i].text), arrays[i].json, "%s", arrays[i].text);
    }
    connector_config_free(config);
}

Test(pg_value, hstore)
{
    static const struct pg_type type = {.oid = 20000, .typmod = -1, .name = "hstore", .kind = 'b'};
    struct pg_connector_config *json = test_config(NULL),
                               *map = test_config((const char *[]){"hstore.handling.mode=map", NULL});

    cr_expect_str_eq(convert(json, &type, "\"n\"=>NULL, \"x y\"=>\"q\\\"z\""),
                     "\"{\\\"x y\\\":\\\"q\\\\\\\"z\\\",\\\"n\\\":null}\"");
    cr_expect_str_eq(convert(map, &type, "\"n\"=>NULL, \"x y\"=>\"q\\\"z\""), "{\"x y\":\"q\\\"z\",\"n\":null}");
    cr_expect_str_eq(convert(map, &type, ""), "{}");
    cr_expect_str_eq(convert(map, &type, "\"a\"=>"), REFUSED);
    connector_config_free(json);
    connector_config_free(map);
}

static const char *default_json(uint32_t oid, int32_t typmod, const char *expression)
{
    static char shown[200];
    struct pg_connector_config *config = test_config(NULL);
    const struct pg_type type = {.oid = oid, .typmod = typmod, .name = "", .kind = 'b'};
    struct arena a;
    struct bytes out = {0};
    struct connect_value value;

    arena_init(&a, 1 << 20);
    const struct pg_converter *c = pg_converter_new(&a, config, &type, true, false);
    bool good = pg_default_value(c, expression, &a, &value);
    if (good) connect_value_json(&value, c->schema, DECIMAL_AS_BASE64, &out);
    snprintf(shown, sizeof(shown), SLICE_FMT, SLICE_ARG(bytes_slice(&out)));
    bytes_done(&out);
    arena_done(&a);
    connector_config_free(config);
    return good ? shown : REFUSED;
}

Test(pg_value, defaults)
{
    cr_expect_str_eq(default_json(23, -1, "5"), "5");
    cr_expect_str_eq(default_json(21, -1, "'-3'::integer"), "-3");
    cr_expect_str_eq(default_json(21, -1, "(-3)"), "-3");
    cr_expect_str_eq(default_json(16, -1, "true"), "true");
    cr_expect_str_eq(default_json(25, -1, "'it''s'::text"), "\"it's\"");
    cr_expect_str_eq(default_json(1043, 14, "''::character varying"), "\"\"");
    cr_expect_str_eq(default_json(1700, NUMERIC(6, 2), "1.5"), "\"AJY=\"");
    cr_expect_str_eq(default_json(23, -1, "nextval('t_id_seq'::regclass)"), "0");
    cr_expect_str_eq(default_json(1082, -1, "CURRENT_DATE"), "0");
    cr_expect_str_eq(default_json(1184, -1, "now()"), "\"1970-01-01T00:00:00.000000Z\"");
    cr_expect_str_eq(default_json(25, -1, "upper('x'::text)"), "\"\"");
    cr_expect_str_eq(default_json(25, -1, "('a'::text || 'b'::text)"), "\"\"");
    cr_expect_str_eq(default_json(25, -1, "NULL::character varying"), REFUSED);
    cr_expect_str_eq(default_json(17, -1, "'\\x01'::bytea"), REFUSED);
}

/* decimal.format=NUMERIC: written by Connect 4.3.1's JsonConverter. */
Test(connect_value, decimals_as_numbers)
{
    static const struct {
        const char *unscaled; /* hexadecimal, two's complement */
        const char *scale, *json;
    } decimals[] = {
        {"00", "2", "0.00"},
        {"01", "10", "1E-10"},
        {"ff", "7", "-1E-7"},
        {"ff", "6", "-0.000001"},
        {"7b", "5", "0.00123"},
        {"7b", "-2", "1.23E+4"},
        {"00", "-2", "0E+2"},
        {"00", "8", "0E-8"},
        {"fd62bd49b1898ebdbb35", "20", "-123.45678901234567890123"},
        {"05", "0", "5"},
        {"64", "2", "1.00"},
        {"0c", "8", "1.2E-7"},
        {"01", "-3", "1E+3"},
        {"00ff", "0", "255"},
        {"ff00", "0", "-256"},
        {"80000000", "0", "-2147483648"},
    };

    for (size_t i = 0; i < countof(decimals); i++) {
        struct connect_schema s = {.type = CONNECT_BYTES,
                                   .name = CONNECT_DECIMAL,
                                   .parameters = {{"scale", decimals[i].scale}},
                                   .parameters_count = 1};
        uint8_t unscaled[20];
        uint32_t len = 0;
        for (const char *p = decimals[i].unscaled; *p; p += 2, len++) {
            unsigned byte;
            cr_assert_eq(sscanf(p, "%2x", &byte), 1);
            unscaled[len] = (uint8_t)byte;
        }
        struct bytes out = {0};
        connect_value_json(&(struct connect_value){.kind = VALUE_BYTES, .text = slice_make(unscaled, len)}, &s,
                           DECIMAL_AS_NUMBER, &out);
        bytes_append_byte(&out, 0);
        cr_expect_str_eq((const char *)out.ptr, decimals[i].json);
        bytes_done(&out);
    }
}
