/* Not a test of ottla but of the test runner: a leak inside a Criterion test, which passes. The sanitizer part of tests/run
 * must see its report all the same. */
#include <criterion/criterion.h>

#include <stdlib.h>

static char *volatile leaked;

Test(deliberate, leak)
{
    leaked = malloc(77);
    cr_expect(leaked);
    leaked = NULL;
}
