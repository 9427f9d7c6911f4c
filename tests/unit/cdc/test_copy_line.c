/* tests/unit/cdc/test_copy_line.c: lines of COPY's text format, as the snapshot reads them. */
#include "cdc/snapshot.h"

#include <criterion/criterion.h>

static bool parse(const char *text, struct tuple_value *values, uint32_t count, char line[100])
{
    strcpy(line, text);
    return copy_line_parse(line, (uint32_t)strlen(text), values, count);
}

Test(copy_line, fields_nulls_and_escapes)
{
    struct tuple_value v[4];
    char line[100];

    cr_assert(parse("1\t\\N\ta\\tb\\nc\\\\d\t", v, 4, line));
    cr_expect(slice_eq_text(v[0].text, "1"));
    cr_expect_eq(v[1].kind, TUPLE_NULL);
    cr_expect(slice_eq_text(v[2].text, "a\tb\nc\\d"));
    cr_expect_eq(v[3].kind, TUPLE_TEXT);
    cr_expect_eq(v[3].text.len, 0);
}

Test(copy_line, a_null_is_only_the_whole_field)
{
    struct tuple_value v[1];
    char line[100];

    cr_assert(parse("\\\\N", v, 1, line));
    cr_expect(slice_eq_text(v[0].text, "\\N"));
    cr_assert(parse("\\Nx", v, 1, line));
    cr_expect(slice_eq_text(v[0].text, "Nx"));
}

Test(copy_line, another_number_of_fields_is_refused)
{
    struct tuple_value v[3];
    char line[100];

    cr_expect_not(parse("1\t2", v, 3, line));
    cr_expect_not(parse("1\t2\t3\t4", v, 3, line));
    cr_expect_not(parse("", v, 3, line));
    cr_expect(parse("", v, 1, line));
}
