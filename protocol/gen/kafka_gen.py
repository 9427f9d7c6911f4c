#!/usr/bin/env python3
"""Makes C from the message schemas in protocol/schema: messages.h, one msg_NAME.c per schema file, messages_table.c,
api_handlers.h.

    kafka_gen.py OUTDIR FILE.api...

A schema file (grammar and meaning: protocol/README.md)

    # Heartbeat (key 12): a member tells its group coordinator that it is alive.
    api heartbeat key 12 versions 0-4 flexible 4+ serve 0-4
    request
      group_id           string
      group_instance_id  string?  3+
    response
      throttle_time_ms   int32    1+
      error_code         error

A file that was not changed is not written again, so that only what depends on a changed schema is compiled."""
import os
import re
import sys
import textwrap

sys.dont_write_bytecode = True  # the source tree stays clean
from api_schema import NULLABLE, OPERATIONS, TYPES, VERSION_MAX, camel, load

C_TYPES = {
    'bool': 'bool', 'int8': 'int8_t', 'int16': 'int16_t', 'int32': 'int32_t', 'int64': 'int64_t', 'uint16': 'uint16_t',
    'uint32': 'uint32_t', 'float64': 'double', 'error': 'int16_t', 'uuid': 'struct uuid', 'varint': 'int32_t',
    'string': 'struct slice', 'bytes': 'struct slice', 'records': 'struct wire_records'}
KINDS = {'request': 'WIRE_REQUEST', 'response': 'WIRE_RESPONSE', 'header': 'WIRE_HEADER', 'data': 'WIRE_DATA',
         'metadata': 'WIRE_METADATA', 'key': 'WIRE_KEY', 'value': 'WIRE_VALUE'}


def c_type(field):
    if field.is_struct():
        return 'struct ' + field.type.name
    return C_TYPES[field.type]


def c_default(field):
    """None: all bits zero."""
    value = field.default
    if field.array:
        return None
    if field.type in ('string', 'bytes'):
        if value == 'null':
            return None
        return 'SLICE(%s)' % value if value and value != '""' else 'SLICE_EMPTY'
    if value is None or value == 'null' or field.is_struct():
        return None
    if field.type == 'bool':
        return 'true' if value == 'true' else None
    if field.type == 'float64':
        return repr(float(value)) if float(value) else None
    number = int(value, 0)
    if number == -2**63:
        return 'INT64_MIN'
    if number == -2**31:
        return 'INT32_MIN'
    if not number:
        return None
    return 'INT64_C(%d)' % number if field.type == 'int64' and abs(number) >= 2**31 else '%d' % number


def condition(versions, context):
    """C test for versions, given that the version lies in context; '' when always true."""
    low, high = versions.low > context.low, versions.high < context.high
    if versions.empty():
        return 'false'
    if low and high and versions.low == versions.high:
        return 'version == %d' % versions.low
    parts = (['version >= %d' % versions.low] if low else []) + (['version <= %d' % versions.high] if high else [])
    return ' && '.join(parts)


def size_min(struct, message, version):
    """Fewest bytes of the struct on the wire."""
    flexible = version in message.flexible
    total = 1 if flexible else 0
    for f in struct.fields:
        if version not in f.versions or f.tag is not None:
            continue
        if f.array or f.type in ('bytes', 'records'):
            total += 1 if flexible else 4
        elif f.type == 'string':
            total += 1 if flexible and not f.classic else 2
        elif f.pointer() or f.type == 'varint':
            total += 1
        elif f.is_struct():
            total += size_min(f.type, message, version)
        else:
            total += TYPES[f.type]
    return total


class Source:
    """C functions of one message."""
    def __init__(self, message):
        self.message, self.out = message, []
        constants = []  # what the defaults of nullable structs point to
        for struct in message.structs:
            for f in struct.fields:
                if f.tag is not None and f.is_struct() and not f.array and not (f.pointer() and f.default == 'null'):
                    self.mark_compared(f.type)
                if f.pointer() and f.default != 'null' and f.type not in constants:
                    constants.append(f.type)
        for struct in constants:
            self.line(0, 'static const struct %s %s_defaults = %s;' % (struct.name, struct.name, self.constant(struct)))
            self.line(0, '')
        for struct in message.structs:
            self.init(struct)
        for struct in message.structs:
            if struct.compared:
                self.is_default(struct)
        for struct in message.structs:
            self.read(struct)
        for struct in message.structs:
            self.write(struct)
        self.entry()

    def mark_compared(self, struct):
        struct.compared = True
        for f in struct.fields:
            if f.is_struct() and not f.array and not f.pointer():
                self.mark_compared(f.type)

    def constant(self, struct):
        """Static initializer with the defaults."""
        values = []
        for f in struct.fields:
            if f.array and f.default == 'null':
                values.append('.%s_count = -1' % f.name)
            elif f.is_struct() and not f.array and not f.pointer():
                values.append('.%s = %s' % (f.name, self.constant(f.type)))
            elif c_default(f):
                text = re.sub(r'SLICE\((.*)\)|SLICE_EMPTY', r'{(const uint8_t *)\1"", sizeof(\1"") - 1}', c_default(f))
                values.append('.%s = %s' % (f.name, text))
        return '{%s}' % (', '.join(values) or '0')

    def line(self, indent, text):
        self.out.append('    ' * indent + text if text else '')

    def init(self, struct):
        values = ['.%s = %s' % (f.name, c_default(f)) for f in struct.fields if c_default(f)]
        values += ['.%s_count = -1' % f.name for f in struct.fields if f.array and f.default == 'null']
        values += ['.%s = (struct %s *)(uintptr_t)&%s_defaults' % (f.name, f.type.name, f.type.name)
                   for f in struct.fields if f.pointer() and f.default != 'null']
        self.line(0, 'void %s_init(struct %s *m)' % (struct.name, struct.name))
        self.line(0, '{')
        if values:
            self.line(1, '*m = (struct %s){%s};' % (struct.name, ', '.join(values)))
        else:
            self.line(1, 'memset(m, 0, sizeof *m);')
        for f in struct.fields:
            if f.is_struct() and not f.array and not f.pointer():
                self.line(1, '%s_init(&m->%s);' % (f.type.name, f.name))
        self.line(0, '}')
        self.line(0, '')

    def differs(self, f):
        """C test: field f of m is not its default."""
        name = 'm->' + f.name
        if f.array:
            return name + ('_count >= 0' if f.default == 'null' else '_count > 0' if not f.nullable else '_count != 0')
        if f.pointer():
            return name if f.default == 'null' else '!(%s && %s_is_default(%s))' % (name, f.type.name, name)
        if f.is_struct():
            return '!%s_is_default(&%s)' % (f.type.name, name)
        if f.type == 'records':
            return '!wire_records_is_null(&%s)' % name
        if f.type in ('string', 'bytes'):
            default = c_default(f)
            if default is None:
                return name + '.ptr'
            if default == 'SLICE_EMPTY':
                return name + '.len' if not f.nullable else '(!%s.ptr || %s.len)' % (name, name)
            return '!slice_eq(%s, %s)' % (name, default)
        if f.type == 'uuid':
            return '!uuid_is_zero(%s)' % name
        return '%s != %s' % (name, c_default(f) or '0')

    def is_default(self, struct):
        self.line(0, 'static bool %s_is_default(const struct %s *m)' % (struct.name, struct.name))
        self.line(0, '{')
        tests = [self.differs(f) for f in struct.fields]
        self.line(1, 'return !(%s);' % ' || '.join(tests) if tests else 'return true;')
        self.line(0, '}')
        self.line(0, '')

    def flexible(self, field):
        """C expression: is this field in its compact form?"""
        if field.classic:
            return 'false'
        test = condition(self.message.flexible & field.versions, field.versions)
        return 'false' if test == 'false' else 'flexible' if test else 'true'

    def null(self, field):
        """C expression: may this field be null?"""
        test = condition(field.null, field.versions) if field.nullable else 'false'
        return test or 'true'

    def group(self, struct):
        """Untagged fields in runs of equal versions."""
        runs = []
        for f in struct.fields:
            if f.tag is not None:
                continue
            if runs and runs[-1][0] == f.versions:
                runs[-1][1].append(f)
            else:
                runs.append((f.versions, [f]))
        return runs

    def begin(self, struct, verb, parameters):
        self.line(0, 'static void %s_%s(%s)' % (struct.name, verb, parameters))
        self.line(0, '{')
        at = len(self.out)
        return at

    def end(self, at):
        """Declares `flexible` when the body uses it."""
        body = '\n'.join(self.out[at:])
        if re.search(r'\bflexible\b', body):
            self.out[at:at] = ['    const bool flexible = version >= %d;' % self.message.flexible.low, '']
        self.line(0, '}')
        self.line(0, '')

    def runs(self, struct, emit):
        for versions, fields in self.group(struct):
            test = condition(versions, struct.versions)
            indent = 1
            if test:
                self.line(1, 'if (%s) {' % test)
                indent = 2
            for f in fields:
                emit(indent, f)
            if test:
                self.line(1, '}')

    # Reading

    def read(self, struct):
        at = self.begin(struct, 'read', 'struct wire_reader *r, int16_t version, struct %s *m' % struct.name)
        self.line(1, '%s_init(m);' % struct.name)
        self.runs(struct, lambda indent, f: self.read_field(indent, f, 'r'))
        tag_versions = self.message.flexible & struct.versions
        if not tag_versions.empty():
            always = tag_versions == struct.versions
            tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
            indent = 1
            if not always and tagged:
                self.line(1, 'if (flexible) {')
                indent = 2
            if tagged:
                self.line(indent, 'for (struct wire_tags t = wire_tags_begin(r); wire_tags_next(r, &t);) {')
                self.line(indent + 1, 'struct wire_reader *v = &t.value;')
                for n, f in enumerate(tagged):
                    test = condition(f.versions, tag_versions)
                    test = 't.tag == %d' % f.tag + (' && ' + test if test else '')
                    self.line(indent + 1, '%sif (%s) {' % ('} else ' if n else '', test))
                    self.read_field(indent + 2, f, 'v')
                self.line(indent + 1, '} else {')
                self.line(indent + 2, 'wire_tag_skip(&t);')
                self.line(indent + 1, '}')
                self.line(indent, '}')
                if indent == 2:
                    self.line(1, '}')
            else:
                self.line(1, 'wire_tags_skip(r);' if always else 'if (flexible) wire_tags_skip(r);')
        self.end(at)

    def read_field(self, indent, f, r):
        flexible, null, name = self.flexible(f), self.null(f), 'm->' + f.name
        if f.array:
            self.read_array(indent, f, flexible, null, name, r)
        elif f.pointer():
            self.line(indent, '%s = wire_get_present(%s) ? wire_take(%s, sizeof *%s) : NULL;' % (name, r, r, name))
            self.line(indent, 'if (%s) %s_read(%s, version, %s);' % (name, f.type.name, r, name))
        elif f.is_struct():
            self.line(indent, '%s_read(%s, version, &%s);' % (f.type.name, r, name))
        elif f.type in NULLABLE:
            self.line(indent, '%s = wire_get_%s(%s, %s, %s);' % (name, f.type, r, flexible, null))
        else:
            self.line(indent, '%s = wire_get_%s(%s);' % (name, f.type, r))

    def read_array(self, indent, f, flexible, null, name, r):
        if f.is_struct():
            least = min(size_min(f.type, self.message, v) for v in range(f.versions.low, f.versions.high + 1))
        elif f.type in ('string', 'bytes', 'varint'):
            least = 1 if flexible != 'false' else 2
        else:
            least = TYPES[f.type]
        self.line(indent, '%s = wire_get_array(%s, %s, %s, %d, sizeof *%s, &%s_count);' %
                  (name, r, flexible, null, max(least, 1), name, name))
        self.line(indent, 'for (int32_t i = 0; i < %s_count && !%s->failed; i++)' % (name, r))
        if f.is_struct():
            self.line(indent + 1, '%s_read(%s, version, &%s[i]);' % (f.type.name, r, name))
        elif f.type in NULLABLE:
            self.line(indent + 1, '%s[i] = wire_get_%s(%s, %s, false);' % (name, f.type, r, flexible))
        else:
            self.line(indent + 1, '%s[i] = wire_get_%s(%s);' % (name, f.type, r))

    # Writing

    def write(self, struct):
        at = self.begin(struct, 'write', 'struct wire_writer *w, int16_t version, const struct %s *m' % struct.name)
        self.runs(struct, lambda indent, f: self.write_field(indent, f, 'w'))
        tag_versions = self.message.flexible & struct.versions
        if not tag_versions.empty():
            always = tag_versions == struct.versions
            tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
            if not tagged:
                self.line(1, 'wire_put_uvarint(w, 0);' if always else 'if (flexible) wire_put_uvarint(w, 0);')
            else:
                self.write_tagged(1 if always else 2, always, tagged, tag_versions)
        self.end(at)

    def write_tagged(self, indent, always, tagged, tag_versions):
        if not always:
            self.line(1, 'if (flexible) {')
        for f in tagged:
            test = condition(f.versions, tag_versions)
            self.line(indent, 'const bool has_%s = %s%s;' % (f.name, test + ' && ' if test else '', self.differs(f)))
        self.line(indent, 'wire_put_uvarint(w, %s);' % ' + '.join('has_' + f.name for f in tagged))
        for f in tagged:
            self.line(indent, 'if (has_%s) {' % f.name)
            self.line(indent + 1, 'struct wire_tagged t;')
            self.line(indent + 1, 'struct wire_writer *v = wire_tagged_begin(&t);')
            self.write_field(indent + 1, f, 'v')
            self.line(indent + 1, 'wire_tagged_end(w, %d, &t);' % f.tag)
            self.line(indent, '}')
        if not always:
            self.line(1, '}')

    def write_field(self, indent, f, w):
        flexible, null, name = self.flexible(f), self.null(f), 'm->' + f.name
        if f.array:
            self.line(indent, 'for (int32_t i = 0, n = wire_put_count(%s, %s_count, %s, %s); i < n; i++)' %
                      (w, name, flexible, null))
            if f.is_struct():
                self.line(indent + 1, '%s_write(%s, version, &%s[i]);' % (f.type.name, w, name))
            elif f.type in NULLABLE:
                self.line(indent + 1, 'wire_put_%s(%s, %s[i], %s, false);' % (f.type, w, name, flexible))
            else:
                self.line(indent + 1, 'wire_put_%s(%s, %s[i]);' % (f.type, w, name))
        elif f.pointer():
            self.line(indent, 'wire_put_int8(%s, %s ? 1 : %d);' % (w, name, -1 if f.tag is None else 0))
            self.line(indent, 'if (%s) %s_write(%s, version, %s);' % (name, f.type.name, w, name))
        elif f.is_struct():
            self.line(indent, '%s_write(%s, version, &%s);' % (f.type.name, w, name))
        elif f.type == 'records':
            self.line(indent, 'wire_put_records(%s, &%s, %s, %s);' % (w, name, flexible, null))
        elif f.type in NULLABLE:
            self.line(indent, 'wire_put_%s(%s, %s, %s, %s);' % (f.type, w, name, flexible, null))
        else:
            self.line(indent, 'wire_put_%s(%s, %s);' % (f.type, w, name))

    def entry(self):
        self.out += fill("""\
            bool NAME_decode(struct wire_reader *r, int16_t version, struct NAME *m)
            {
                if (version < LOW || version > HIGH) return wire_fail(r, "unknown version");
                NAME_read(r, version, m);
                return !r->failed;
            }

            void NAME_encode(struct wire_writer *w, int16_t version, const struct NAME *m)
            {
                assert(version >= LOW && version <= HIGH);
                NAME_write(w, version, m);
            }
            """, NAME=self.message.name, LOW=self.message.versions.low, HIGH=self.message.versions.high)


def fill(template, **values):
    """Lines of a template with its words in capitals replaced."""
    text = textwrap.dedent(template)
    for word, value in values.items():
        text = re.sub(r'(?<![A-Z])%s(?![A-Z])' % word, str(value).replace('\\', r'\\'), text)
    return text.split('\n')


def versions_text(versions, top):
    """v3, v3-7, v3+ (up to the last version)."""
    if versions.low == versions.high:
        return 'v%d' % versions.low
    return 'v%d+' % versions.low if versions.high == top else 'v%d-%d' % (versions.low, versions.high)


def field_notes(field, versions):
    """What the comment beside a C field says."""
    notes = []
    if field.versions != versions:
        notes.append(versions_text(field.versions, versions.high))
    if field.nullable and field.null == field.versions:
        notes.append('may be null')
    elif field.nullable:
        notes.append('may be null in ' + versions_text(field.null, versions.high))
    if field.tag is not None:
        notes.append('tag %d' % field.tag)
    if field.default is not None:
        notes.append('default ' + field.default)
    elif field.pointer():
        notes.append('the default points to constants')
    return ' /* %s */' % ', '.join(notes) if notes else ''


def struct_text(struct, message):
    """Declaration of the C struct."""
    out = ['struct %s {' % struct.name]
    for f in struct.fields:
        star = '*' if f.array or f.pointer() else ''
        out.append('    %s %s%s;%s' % (c_type(f), star, f.name, field_notes(f, message.versions)))
        if f.array:
            out.append('    int32_t %s_count;' % f.name)
    if not struct.fields:
        out.append('    char empty; /* no fields */')
    return out + ['};', '']


# ---- Files ----

BANNER = '/* Made by protocol/gen/kafka_gen.py from protocol/schema. */'


def header_text(apis, messages):
    """messages.h"""
    out = [BANNER, '#ifndef OTTLA_MESSAGES_H', '#define OTTLA_MESSAGES_H', '', '#include "protocol/message.h"', '',
           '/* Every API that the codec knows: X(key, name, snake_name). */', '#define KAFKA_API_TABLE(X) \\']
    out += ['    X(%d, %s, %s) \\' % (a.key, camel(a.name), a.name) for a in apis]
    out += ['', 'enum kafka_api_key {']
    out += ['    KAFKA_API_%s = %d,' % (a.name.upper(), a.key) for a in apis]
    out += ['};', '']
    for m in messages:
        for s in m.structs:
            out += struct_text(s, m)
        out += ['void %s_init(struct %s *m);' % (s.name, s.name) for s in m.structs]
        out += fill("""\
            bool NAME_decode(struct wire_reader *r, int16_t version, struct NAME *m) WARN_UNUSED;
            void NAME_encode(struct wire_writer *w, int16_t version, const struct NAME *m);
            """, NAME=m.name)
    return out + ['#endif', '']


def handlers_text(apis):
    """api_handlers.h. What depends on `serve` stands apart from messages.h: one more handler compiles little anew."""
    out = [BANNER, '/* The handlers of all served APIs. Include broker/api.h, which has enum api_result, before. */',
           '#ifndef OTTLA_API_HANDLERS_H', '#define OTTLA_API_HANDLERS_H', '', '#include "protocol/messages.h"', '',
           '/* X(key, name, snake_name, version_min, version_max). */', '#define KAFKA_SERVED_TABLE(X) \\']
    served = [a for a in apis if a.serve]
    out += ['    X(%d, %s, %s, %d, %d) \\' % (a.key, camel(a.name), a.name, a.serve.low, a.serve.high) for a in served]
    out += ['', 'struct request;', '']
    for a in served:
        out.append('enum api_result api_handle_%s(struct request *rq, const struct %s_request *in,' % (a.name, a.name))
        out.append('    struct %s_response *out);' % a.name)
    return out + ['', '#endif', '']


def schema_text(messages, path):
    """msg_NAME.c"""
    out = [BANNER, '/* From %s. */' % path, '#include "protocol/messages.h"', '']
    for m in messages:
        out += Source(m).out
    return out


class Reflection:
    """Structs and fields as data. Names stand in one text, so that the tables need no pointers."""
    def __init__(self, messages):
        self.index, self.names, self.position, self.fields, self.structs = {}, {}, 0, [], []
        for m in messages:
            for s in m.structs:
                self.index[s.name] = len(self.index)
                self.structs.append('    {sizeof(struct %s), %d, %d},' % (s.name, len(self.fields), len(s.fields)))
                self.fields += [self.field(s, f) for f in s.fields]

    def field(self, struct, f):
        if f.name not in self.names:
            self.names[f.name] = self.position
            self.position += len(f.name) + 1
        flags = ['WIRE_ARRAY'] if f.array else ['WIRE_POINTER'] if f.pointer() else ['0']
        values = [self.names[f.name], 'offsetof(struct %s, %s)' % (struct.name, f.name),
                  f.versions.low, f.versions.high, f.null.low, f.null.high, -1 if f.tag is None else f.tag,
                  'WIRE_STRUCT' if f.is_struct() else 'WIRE_' + f.type.upper(), flags[0],
                  self.index[f.type.name] if f.is_struct() else 0]
        return '    {%s},' % ', '.join(str(v) for v in values)

    def text(self):
        return (['const char wire_names[] ='] + ['    "%s\\0"' % name for name in self.names] + ['    "";', '',
                'const struct wire_field wire_fields[] = {'] + self.fields + ['};', '',
                'const struct wire_struct wire_structs[] = {'] + self.structs + ['};', ''])


def table_text(apis, messages):
    """messages_table.c"""
    def or_none(version):
        return 'WIRE_VERSION_NONE' if version == VERSION_MAX else version

    reflection = Reflection(messages)
    out = [BANNER, '#include "protocol/messages.h"', ''] + reflection.text()
    for m in messages:
        out += fill("""\
            static void NAME_init_any(void *m)
            {
                NAME_init(m);
            }
            static bool NAME_decode_any(struct wire_reader *r, int16_t version, void *m)
            {
                return NAME_decode(r, version, m);
            }
            static void NAME_encode_any(struct wire_writer *w, int16_t version, const void *m)
            {
                NAME_encode(w, version, m);
            }
            """, NAME=m.name)
    out.append('const struct wire_message wire_messages[] = {')
    for m in messages:
        values = ['"%s"' % camel(m.name), KINDS[m.kind], m.type, '"%s"' % m.topic if m.topic else 'NULL',
                  m.versions.low, m.versions.high, or_none(VERSION_MAX if m.flexible.empty() else m.flexible.low),
                  reflection.index[m.name], 'sizeof(struct %s)' % m.name]
        values += ['%s_%s_any' % (m.name, verb) for verb in ('init', 'decode', 'encode')]
        out.append('    {%s},' % ', '.join(str(v) for v in values))
    out += ['};', 'const int wire_messages_count = countof(wire_messages);', '']
    out.append('const struct kafka_api kafka_apis[] = {')
    for a in apis:
        values = [a.key, '"%s"' % camel(a.name), '"%s"' % a.name, a.versions.low, a.versions.high,
                  or_none(VERSION_MAX if a.flexible.empty() else a.flexible.low), or_none(a.unstable),
                  a.serve.low if a.serve else -1, a.serve.high if a.serve else -1, 'KAFKA_THREAD_' + a.thread.upper(),
                  OPERATIONS[a.authorize] if a.authorize else 0]
        values += ['&wire_messages[%d]' % messages.index(m) for m in (a.request, a.response)]
        out.append('    {%s},' % ', '.join(str(v) for v in values))
    return out + ['};', 'const int kafka_apis_count = countof(kafka_apis);', '']


def write_if_changed(path, lines):
    text = '\n'.join(lines)
    try:
        with open(path, encoding='utf-8') as f:
            if f.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def stem(path):
    return os.path.basename(path)[:-len('.api')]


def main():
    if len(sys.argv) < 3:
        sys.exit('usage: kafka_gen.py OUTDIR FILE.api...')
    outdir, parsed = sys.argv[1], load(sys.argv[2:])
    apis = sorted((a for _, p in parsed for a in p.apis), key=lambda a: a.key)
    messages = [m for _, p in parsed for m in p.messages]
    write_if_changed(os.path.join(outdir, 'messages.h'), header_text(apis, messages))
    write_if_changed(os.path.join(outdir, 'api_handlers.h'), handlers_text(apis))
    for path, p in parsed:
        write_if_changed(os.path.join(outdir, 'msg_%s.c' % stem(path)), schema_text(p.messages, os.path.basename(path)))
    write_if_changed(os.path.join(outdir, 'messages_table.c'), table_text(apis, messages))


if __name__ == '__main__':
    main()
