/* The promises of server.h that need no server. */
#include "cdc/server.h"

#include <criterion/criterion.h>

Test(server, a_history_tells_where_a_timeline_was_left)
{
    static const char history[] =
        "# made by hand\n1\t0/3000060\tno recovery target specified\n\n12\tA/FFFFFFFF\tbefore 2000\n";

    cr_expect_eq(server_timeline_end(history, 1), 0x3000060);
    cr_expect_eq(server_timeline_end(history, 12), 0xAFFFFFFFF);
    cr_expect_eq(server_timeline_end(history, 2), 0);
    cr_expect_eq(server_timeline_end("1\tdamaged", 1), 0);
    cr_expect_eq(server_timeline_end("1", 1), 0);
    cr_expect_eq(server_timeline_end("", 1), 0);
}
