#!/usr/bin/env python3
"""The schema generator: a schema gives the expected C; a bad schema is refused with its line and a text that helps."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
GENERATOR = os.path.join(HERE, '..', 'protocol', 'gen', 'kafka_gen.py')

HEARTBEAT = '''# A comment.
api heartbeat key 12 versions 0-4 flexible 4+ serve 1-3 thread network authorize describe
request
  group_id           string                # trailing comment
  generation_id      int32
  group_instance_id  string?  3+ = null
response
  throttle_time_ms  int32  1+
  error_code        error
'''


def generate(text, name='heartbeat'):
    """{file: content}, or the message of a refusal."""
    with tempfile.TemporaryDirectory() as folder:
        schema = os.path.join(folder, name + '.api')
        with open(schema, 'w', encoding='utf-8') as f:
            f.write(text)
        run = subprocess.run([sys.executable, GENERATOR, folder, schema], capture_output=True, text=True)
        if run.returncode:
            return run.stderr.strip().replace(schema, 'x.api')
        assert not run.stderr, run.stderr
        os.remove(schema)
        return {f.name: f.read_text(encoding='utf-8') for f in pathlib.Path(folder).iterdir()}


class Generates(unittest.TestCase):
    def has(self, text, fragment):
        def squeeze(s):
            return ' '.join(s.split())
        self.assertIn(squeeze(fragment), squeeze(text))

    def test_struct_of_all_versions(self):
        self.has(generate(HEARTBEAT)['messages.h'], '''struct heartbeat_request {
            struct slice group_id;
            int32_t generation_id;
            struct slice group_instance_id; /* v3+, may be null, default null */
        };''')

    def test_defaults(self):
        self.has(generate(HEARTBEAT)['msg_heartbeat.c'], '*m = (struct heartbeat_request){.group_id = SLICE_EMPTY};')
        source = generate('data d versions 0\n  a int32 = -1\n  b int64 = 0x7fffffffffffffff\n  c []string? = null\n'
                          '  e bool = true\n  f string = "x y"\n  g float64 = 1.5\n  h int32 = -2147483648\n',
                          'd')['msg_d.c']
        self.has(source, '{.a = -1, .b = INT64_C(9223372036854775807), .e = true, .f = SLICE("x y"), .g = 1.5, '
                         '.h = INT32_MIN, .c_count = -1}')

    def test_reads_and_writes_by_version(self):
        source = generate(HEARTBEAT)['msg_heartbeat.c']
        self.has(source, '''const bool flexible = version >= 4;
            heartbeat_request_init(m);
            m->group_id = wire_get_string(r, flexible, false);
            m->generation_id = wire_get_int32(r);
            if (version >= 3) { m->group_instance_id = wire_get_string(r, flexible, true); }
            if (flexible) wire_tags_skip(r);''')
        self.has(source, '''if (version >= 1) { wire_put_int32(w, m->throttle_time_ms); }
            wire_put_error(w, m->error_code);
            if (flexible) wire_put_uvarint(w, 0);''')
        self.has(source, 'if (version < 0 || version > 4) return wire_fail(r, "unknown version");')

    def test_table_and_handlers(self):
        files = generate(HEARTBEAT)
        self.has(files['messages_table.c'],
                 '{12, "Heartbeat", "heartbeat", 0, 4, 4, WIRE_VERSION_NONE, 1, 3, KAFKA_THREAD_NETWORK, 8,')
        self.has(files['api_handlers.h'], 'enum api_result api_handle_heartbeat(struct request *rq, '
                 'const struct heartbeat_request *in, struct heartbeat_response *out);')
        self.has(files['api_handlers.h'], 'X(12, Heartbeat, heartbeat, 1, 3) \\')

    def test_not_served_has_no_handler(self):
        files = generate(HEARTBEAT.replace(' serve 1-3', ''))
        self.assertNotIn('api_handle', files['api_handlers.h'])
        self.has(files['messages_table.c'], 'WIRE_VERSION_NONE, -1, -1,')

    def test_serving_changes_only_what_depends_on_it(self):
        served, not_served = generate(HEARTBEAT), generate(HEARTBEAT.replace(' serve 1-3', ''))
        self.assertEqual({f for f in served if served[f] != not_served[f]},
                         {'api_handlers.h', 'messages_table.c'})

    def test_array_of_structs(self):
        source = generate('data d versions 0-2 flexible 2+\n'
                          '  topics []topic? null 1+\n    id uuid\n    parts []int32 1+\n', 'd')
        self.has(source['messages.h'], 'struct d_topic *topics; /* may be null in v1+ */ int32_t topics_count;')
        self.has(source['msg_d.c'], '''
            m->topics = wire_get_array(r, flexible, version >= 1, 16, sizeof *m->topics, &m->topics_count);
            for (int32_t i = 0; i < m->topics_count && !r->failed; i++) d_topic_read(r, version, &m->topics[i]);''')

    def test_shared_struct_once(self):
        header = generate('data d versions 0\n  struct pair\n    a int8\n'
                          '  x pair\n  y []pair\n  z pair? = null\n', 'd')['messages.h']
        self.assertEqual(header.count('struct d_pair {'), 1)
        self.has(header, 'struct d_pair x; struct d_pair *y; int32_t y_count; '
                         'struct d_pair *z; /* may be null, default null */')

    def test_tagged_fields(self):
        source = generate('data d versions 0-1 flexible 1+\n'
                          '  a int32 1+ tag 1 = 7\n  b part 1+ tag 0\n    c int8\n', 'd')['msg_d.c']
        self.has(source, '''if (t.tag == 0) { d_part_read(v, version, &m->b);
            } else if (t.tag == 1) { m->a = wire_get_int32(v);
            } else { wire_tag_skip(&t); }''')
        self.has(source, '''const bool has_b = !d_part_is_default(&m->b);
            const bool has_a = m->a != 7;
            wire_put_uvarint(w, has_b + has_a);''')

    def test_nullable_struct_without_null_default_points_to_constants(self):
        source = generate('data d versions 0 flexible 0+\n'
                          '  b part? tag 0\n    c int8 = 3\n    s string\n', 'd')['msg_d.c']
        self.has(source, 'static const struct d_part d_part_defaults = '
                         '{.c = 3, .s = {(const uint8_t *)"", sizeof("") - 1}};')
        self.has(source, 'const bool has_b = !(m->b && d_part_is_default(m->b));')

    def test_classic_string_in_flexible_message(self):
        self.has(generate('header h versions 1-2 flexible 2+\n  client_id string? classic\n', 'h')['msg_h.c'],
                 'm->client_id = wire_get_string(r, false, true);')

    def test_unchanged_file_is_not_written_again(self):
        with tempfile.TemporaryDirectory() as folder:
            schema = os.path.join(folder, 'heartbeat.api')
            with open(schema, 'w', encoding='utf-8') as f:
                f.write(HEARTBEAT)
            out = os.path.join(folder, 'msg_heartbeat.c')
            for changed in (True, False):
                subprocess.run([sys.executable, GENERATOR, folder, schema], check=True)
                self.assertEqual(os.stat(out).st_mtime_ns != 0, changed)
                os.utime(out, ns=(0, 0))


REFUSALS = [  # schema, message
    ('nonsense x\n', '1: "nonsense" begins no message; expected api, header, data, metadata, key or value'),
    ('  a int8\n', '1: indented line does not belong to a message'),
    ('data d versions 0\n\ta int8\n', '2: tab: indent with two spaces'),
    ('data d versions 0\n   a int8\n', '2: indentation of 3 spaces is not a multiple of two'),
    ('data d versions 0\n  a int8\n      b int8\n', '3: indented too deep'),
    ('data d\n  a int8\n', '1: "versions" is missing'),
    ('data\n', '1: "data" needs a name'),
    ('data D versions 0\n', '1: message "D" is not in snake_case'),
    ('data d versions x\n', '1: versions: "x" is not a version range such as 3, 3-7 or 3+'),
    ('data d versions 4-2\n', '1: versions: "4-2" is empty or too large'),
    ('data d versions 0+\n', '1: versions: the last version must be named'),
    ('data d versions 0 flexible 0-3\n', '1: flexible: a message stays flexible, write 0+'),
    ('data d versions 0 colour 3\n', '1: unknown attribute "colour"; known here: versions, flexible'),
    ('data d versions 0 versions 1\n', '1: "versions" is given twice'),
    ('data d versions\n', '1: "versions" has no value'),
    ('metadata m versions 0\n', '1: "type" is missing'),
    ('metadata m type -1 versions 0\n', '1: type: "-1" is not a number from 0 to 32767'),
    ('api a key 1 versions 0\nresponse\n', '2: expected "request"'),
    ('api a key 1 versions 0\nrequest\n  x int8\n', '3: expected "response"'),
    ('api a key 1 versions 0-3 serve 0-4\nrequest\nresponse\n', '1: serve: the codec knows only versions 0-3'),
    ('api a key 1 versions 0-3 unstable 3+ serve 0-3\nrequest\nresponse\n',
     '1: serve: versions from 3 on are unstable'),
    ('api a key 1 versions 0-3 serve 0+\nrequest\nresponse\n', '1: serve: the last version must be named'),
    ('api a key 1 versions 0 thread main\nrequest\nresponse\n', '1: thread: "main" is neither network nor control'),
    ('api a key 1 versions 0 authorize fly\nrequest\nresponse\n',
     '1: authorize: "fly" is not an operation; known: alter, describe, cluster_action, describe_configs, alter_configs'),
    ('data d versions 0\n  a\n', '2: field "a" has no type'),
    ('data d versions 0\n  a int7\n', '2: unknown type "int7"'),
    ('data d versions 0\n  a int8!\n', '2: "int8!" is not a type'),
    ('data d versions 0\n  a int8?\n', '2: type "int8" has no null'),
    ('data d versions 0\n  a []records\n', '2: records cannot be elements of an array'),
    ('data d versions 0\n  default int8\n', '2: field "default" is a word of C'),
    ('data d versions 0\n  a int8\n  a int8\n', '3: field "a" is there already'),
    ('data d versions 0\n  a []int8\n  a_count int8\n', '3: field "a_count" collides with the count of an array'),
    ('data d versions 0\n  a int8 1+\n', '2: field "a": its versions are not those of what holds it'),
    ('data d versions 0-2\n  a int8 0-3\n', '2: field "a": its versions are not those of what holds it'),
    ('data d versions 0-2\n  s []part 1+\n    a int8 0+\n',
     '3: field "a": its versions are not those of what holds it'),
    ('data d versions 0\n  a string null 0+\n', '2: field "a": "null" needs a type with ?'),
    ('data d versions 0-2\n  a string? 0-1 null 2+\n', '2: field "a": null in no version of the field'),
    ('data d versions 0-2 flexible 1+\n  a int8 tag 0\n', '2: field "a": tagged in a version that is not flexible'),
    ('data d versions 0 flexible 0+\n  a int8 tag 0\n  b int8 tag 0\n', '3: tag 0 is used already'),
    ('data d versions 0\n  a int8 = 128\n', '2: field "a": 128 does not fit int8'),
    ('data d versions 0\n  a int8 = x\n', '2: field "a": "x" is no default for its type'),
    ('data d versions 0\n  a bool = 1\n', '2: field "a": "1" is no default for its type'),
    ('data d versions 0\n  a string = x\n', '2: field "a": a text stands in double quotes'),
    ('data d versions 0\n  a string = null\n', '2: field "a": null is not allowed, so it cannot be the default'),
    ('data d versions 0\n  a []int8 = 3\n', '2: field "a": "3" is no default for its type'),
    ('data d versions 0\n  a int8 =\n', '2: field "a": nothing behind "="'),
    ('data d versions 0\n  a int8 soon\n', '2: field "a": unexpected "soon"'),
    ('data d versions 0\n  a []p\n    x int8\n  b []p\n    x int8\n', '4: struct "p" is there already'),
    ('data d versions 0\ndata d versions 0\n', '2: struct d is there already: x.api:1'),
    ('metadata a type 3 versions 0\nmetadata b type 3 versions 0\n', '2: type 3 is there already: x.api:1'),
    ('api a key 1 versions 0\nrequest\nresponse\napi b key 1 versions 0\nrequest\nresponse\n',
     '4: key 1 is there already: x.api:1'),
]


class Refuses(unittest.TestCase):
    def test_each(self):
        for text, message in REFUSALS:
            with self.subTest(text):
                self.assertEqual(generate(text), 'x.api:' + message)


if __name__ == '__main__':
    unittest.main()
