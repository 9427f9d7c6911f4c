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

VERSION_MAX = 32767
PRIMITIVES = {  # name: (C type, bytes on the wire when it has a fixed size)
    'bool': ('bool', 1), 'int8': ('int8_t', 1), 'int16': ('int16_t', 2), 'int32': ('int32_t', 4),
    'int64': ('int64_t', 8), 'uint16': ('uint16_t', 2), 'uint32': ('uint32_t', 4), 'float64': ('double', 8),
    'error': ('int16_t', 2), 'uuid': ('struct uuid', 16), 'varint': ('int32_t', None),
    'string': ('struct slice', None), 'bytes': ('struct slice', None), 'records': ('struct wire_records', None)}
INTEGERS = {'int8': (-2**7, 2**7 - 1), 'int16': (-2**15, 2**15 - 1), 'int32': (-2**31, 2**31 - 1),
            'int64': (-2**63, 2**63 - 1), 'uint16': (0, 2**16 - 1), 'uint32': (0, 2**32 - 1),
            'error': (-2**15, 2**15 - 1), 'varint': (-2**31, 2**31 - 1)}
NULLABLE = {'string', 'bytes', 'records'}
C_WORDS = set('''auto bool break case char const continue default do double else enum extern float for goto if inline int
    long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    linux unix'''.split())
NAME = re.compile(r'[a-z][a-z0-9]*(_[a-z0-9]+)*\Z')
KINDS = {'request': 'WIRE_REQUEST', 'response': 'WIRE_RESPONSE', 'header': 'WIRE_HEADER', 'data': 'WIRE_DATA',
         'metadata': 'WIRE_METADATA', 'key': 'WIRE_KEY', 'value': 'WIRE_VALUE'}


class SchemaError(Exception):
    def __init__(self, line, text):
        Exception.__init__(self, text)
        self.line, self.text = line, text


class Range:
    """Versions low to high, both included; empty when low > high."""
    def __init__(self, low, high):
        self.low, self.high = low, high

    def __and__(self, other):
        return Range(max(self.low, other.low), min(self.high, other.high))

    def __eq__(self, other):
        return (self.low, self.high) == (other.low, other.high)

    def __contains__(self, version):
        return self.low <= version <= self.high

    def within(self, other):
        return other.low <= self.low and self.high <= other.high

    def empty(self):
        return self.low > self.high


NEVER = Range(1, 0)


class Field:
    """type: a primitive or the Struct; versions, null: clipped to those of the parent."""
    def __init__(self):
        self.array = self.nullable = self.classic = False
        self.null, self.tag, self.default = NEVER, None, None

    def is_struct(self):
        return isinstance(self.type, Struct)

    def pointer(self):
        return self.is_struct() and self.nullable and not self.array


class Struct:
    """versions: those in which it can occur."""
    def __init__(self, name, line, versions):
        self.name, self.line, self.versions, self.fields = name, line, versions, []
        self.compared = False  # a tagged field of this type is left out when it holds only defaults


class Message:
    def __init__(self, name, kind, line):
        self.name, self.kind, self.line = name, kind, line
        self.type, self.topic, self.flexible = -1, None, NEVER
        self.structs = []  # elements first, the message itself last
        self.shared = {}


class Api:
    pass


def camel(snake):
    return ''.join(word[:1].upper() + word[1:] for word in snake.split('_'))


# ---- Parser ----

def parse_range(text, line, what):
    m = re.match(r'(\d+)(\+|-(\d+))?\Z', text)
    if not m:
        raise SchemaError(line, '%s: "%s" is not a version range such as 3, 3-7 or 3+' % (what, text))
    low = int(m[1])
    high = VERSION_MAX if m[2] == '+' else int(m[3]) if m[3] else low
    if low > high or low > VERSION_MAX or high > VERSION_MAX:
        raise SchemaError(line, '%s: "%s" is empty or too large' % (what, text))
    return Range(low, high)


def split_line(text):
    """Words and "quoted text" up to a comment."""
    return re.findall(r'"[^"]*"|[^\s"#]+|#.*', text)


def check_name(name, line, what):
    if not NAME.match(name):
        raise SchemaError(line, '%s "%s" is not in snake_case' % (what, name))
    if name in C_WORDS:
        raise SchemaError(line, '%s "%s" is a word of C' % (what, name))
    return name


class Parser:
    def __init__(self, path, text):
        self.path, self.apis, self.messages = path, [], []
        self.lines = []  # (number, depth, words)
        for number, raw in enumerate(text.split('\n'), 1):
            if '\t' in raw:
                raise SchemaError(number, 'tab: indent with two spaces')
            words = split_line(raw)
            if words and words[-1].startswith('#'):
                words.pop()
            if not words:
                continue
            indent = len(raw) - len(raw.lstrip(' '))
            if indent % 2:
                raise SchemaError(number, 'indentation of %d spaces is not a multiple of two' % indent)
            self.lines.append((number, indent // 2, words))
        self.at = 0
        while self.at < len(self.lines):
            self.top()

    def attributes(self, line, words, known, needed):
        """key value key value ... → dict"""
        found = {}
        if len(words) % 2:
            raise SchemaError(line, '"%s" has no value' % words[-1])
        for key, value in zip(words[::2], words[1::2]):
            if key not in known:
                raise SchemaError(line, 'unknown attribute "%s"; known here: %s' % (key, ', '.join(known)))
            if key in found:
                raise SchemaError(line, '"%s" is given twice' % key)
            found[key] = value
        for key in needed:
            if key not in found:
                raise SchemaError(line, '"%s" is missing' % key)
        return found

    def number(self, line, what, text):
        if not text.isdigit() or int(text) > VERSION_MAX:
            raise SchemaError(line, '%s: "%s" is not a number from 0 to %d' % (what, text, VERSION_MAX))
        return int(text)

    def versions(self, line, found):
        versions = parse_range(found['versions'], line, 'versions')
        if versions.high == VERSION_MAX:
            raise SchemaError(line, 'versions: the last version must be named')
        flexible = NEVER
        if 'flexible' in found:
            flexible = parse_range(found['flexible'], line, 'flexible')
            if flexible.high != VERSION_MAX:
                raise SchemaError(line, 'flexible: a message stays flexible, write %d+' % flexible.low)
            flexible = flexible & versions
        return versions, flexible

    def top(self):
        line, depth, words = self.lines[self.at]
        if depth:
            raise SchemaError(line, 'indented line does not belong to a message')
        kind = words[0]
        if kind == 'api':
            return self.api(line, words)
        if kind not in KINDS or kind in ('request', 'response'):
            raise SchemaError(line, '"%s" begins no message; expected api, header, data, metadata, key or value' % kind)
        if len(words) < 2:
            raise SchemaError(line, '"%s" needs a name' % kind)
        message = Message(check_name(words[1], line, 'message'), kind, line)
        known = {'metadata': ['type'], 'key': ['type', 'topic'], 'value': ['type', 'topic']}.get(kind, [])
        found = self.attributes(line, words[2:], known + ['versions', 'flexible'], known + ['versions'])
        message.versions, message.flexible = self.versions(line, found)
        if 'type' in found:
            message.type = self.number(line, 'type', found['type'])
        message.topic = found.get('topic')
        self.at += 1
        self.body(message, 1)
        return None

    def api(self, line, words):
        api = Api()
        if len(words) < 2:
            raise SchemaError(line, '"api" needs a name')
        api.name, api.line = check_name(words[1], line, 'api'), line
        found = self.attributes(line, words[2:], ['key', 'versions', 'flexible', 'unstable', 'serve', 'thread'],
                                ['key', 'versions'])
        api.key = self.number(line, 'key', found['key'])
        api.versions, api.flexible = self.versions(line, found)
        api.unstable = parse_range(found['unstable'], line, 'unstable').low if 'unstable' in found else VERSION_MAX
        api.serve = parse_range(found['serve'], line, 'serve') if 'serve' in found else None
        if api.serve and api.serve.high == VERSION_MAX:
            raise SchemaError(line, 'serve: the last version must be named')
        if api.serve and not api.serve.within(api.versions):
            raise SchemaError(line, 'serve: the codec knows only versions %d-%d' % (api.versions.low, api.versions.high))
        if api.serve and api.serve.high >= api.unstable:
            raise SchemaError(line, 'serve: versions from %d on are unstable' % api.unstable)
        api.thread = found.get('thread', 'control')
        if api.thread not in ('network', 'control'):
            raise SchemaError(line, 'thread: "%s" is neither network nor control' % api.thread)
        self.at += 1
        for kind in ('request', 'response'):
            if self.at == len(self.lines) or self.lines[self.at][1:] != (0, [kind]):
                raise SchemaError(self.lines[min(self.at, len(self.lines) - 1)][0], 'expected "%s"' % kind)
            message = Message(api.name + '_' + kind, kind, self.lines[self.at][0])
            message.type, message.versions, message.flexible = api.key, api.versions, api.flexible
            self.at += 1
            self.body(message, 1)
            setattr(api, kind, message)
        self.apis.append(api)

    def body(self, message, depth):
        while self.at < len(self.lines) and self.lines[self.at][1] == depth and self.lines[self.at][2][0] == 'struct':
            line, _, words = self.lines[self.at]
            if len(words) != 2:
                break  # a field of this name
            struct = self.struct(message, words[1], line, message.versions)
            self.at += 1
            self.fields(message, struct, depth + 1, message.versions)
            message.shared[words[1]] = struct
            message.structs.append(struct)
        root = Struct(message.name, message.line, message.versions)
        self.fields(message, root, depth, message.versions)
        message.structs.append(root)
        message.root = root
        self.messages.append(message)

    def struct(self, message, name, line, versions):
        check_name(name, line, 'struct')
        full = message.name + '_' + name
        if any(s.name == full for s in message.structs) or name in PRIMITIVES:
            raise SchemaError(line, 'struct "%s" is there already' % name)
        return Struct(full, line, versions)

    def fields(self, message, struct, depth, parent):
        names, tags = set(), set()
        while self.at < len(self.lines) and self.lines[self.at][1] >= depth:
            line, found_depth, words = self.lines[self.at]
            if found_depth > depth:
                raise SchemaError(line, 'indented too deep')
            field = self.field(message, line, words, parent)
            if field.name in names:
                raise SchemaError(line, 'field "%s" is there already' % field.name)
            if field.array and field.name + '_count' in names or field.name.endswith('_count') and any(
                    f.array and f.name + '_count' == field.name for f in struct.fields):
                raise SchemaError(line, 'field "%s" collides with the count of an array' % field.name)
            if field.tag is not None and field.tag in tags:
                raise SchemaError(line, 'tag %d is used already' % field.tag)
            names.add(field.name)
            tags.add(field.tag)
            self.at += 1
            if isinstance(field.type, str) and field.type not in PRIMITIVES:
                nested = self.at < len(self.lines) and self.lines[self.at][1] > depth
                if nested:
                    inner = self.struct(message, field.type, line, field.versions)
                    self.fields(message, inner, depth + 1, field.versions)
                    message.structs.append(inner)
                    field.type = inner
                elif field.type in message.shared:
                    field.type = message.shared[field.type]
                else:
                    raise SchemaError(line, 'unknown type "%s"' % field.type)
            self.default(field, line)
            struct.fields.append(field)

    def field(self, message, line, words, parent):
        field = Field()
        field.line, field.name = line, check_name(words[0], line, 'field')
        if len(words) < 2:
            raise SchemaError(line, 'field "%s" has no type' % field.name)
        m = re.match(r'(\[\])?([a-z0-9_]+)(\?)?\Z', words[1])
        if not m:
            raise SchemaError(line, '"%s" is not a type' % words[1])
        field.array, field.type, field.nullable = bool(m[1]), m[2], bool(m[3])
        if field.nullable and field.type in PRIMITIVES and field.type not in NULLABLE and not field.array:
            raise SchemaError(line, 'type "%s" has no null' % field.type)
        if field.array and field.type == 'records':
            raise SchemaError(line, 'records cannot be elements of an array')
        own, null, rest = None, None, words[2:]
        if rest and rest[0][0].isdigit():
            own = parse_range(rest.pop(0), line, 'field "%s"' % field.name)
        while rest:
            word = rest.pop(0)
            if word == 'classic':
                field.classic = True
                continue
            if word not in ('null', 'tag', '='):
                raise SchemaError(line, 'field "%s": unexpected "%s"' % (field.name, word))
            if not rest:
                raise SchemaError(line, 'field "%s": nothing behind "%s"' % (field.name, word))
            value = rest.pop(0)
            if word == 'null':
                null = parse_range(value, line, 'null')
            elif word == 'tag':
                field.tag = self.number(line, 'tag', value)
            else:
                field.default = value
        field.versions = (own & parent) if own else parent
        if field.versions.empty() or own and own.low < parent.low:
            raise SchemaError(line, 'field "%s": its versions are not those of what holds it' % field.name)
        if own and own.high != VERSION_MAX and own.high > parent.high:
            raise SchemaError(line, 'field "%s": its versions are not those of what holds it' % field.name)
        if null and not field.nullable:
            raise SchemaError(line, 'field "%s": "null" needs a type with ?' % field.name)
        if field.nullable:
            field.null = (null & field.versions) if null else field.versions
            if field.null.empty():
                raise SchemaError(line, 'field "%s": null in no version of the field' % field.name)
        if field.tag is not None and not field.versions.within(message.flexible):
            raise SchemaError(line, 'field "%s": tagged in a version that is not flexible' % field.name)
        return field

    def default(self, field, line):
        value = field.default
        if value is None:
            return
        bad = SchemaError(line, 'field "%s": "%s" is no default for its type' % (field.name, value))
        if value == 'null':
            if not field.nullable:
                raise SchemaError(line, 'field "%s": null is not allowed, so it cannot be the default' % field.name)
        elif field.array or field.is_struct() or field.type in ('uuid', 'bytes', 'records'):
            raise bad
        elif field.type == 'string':
            if not re.match(r'"[^"\\]*"\Z', value):
                raise SchemaError(line, 'field "%s": a text stands in double quotes' % field.name)
        elif field.type == 'bool':
            if value not in ('true', 'false'):
                raise bad
        elif field.type == 'float64':
            try:
                float(value)
            except ValueError:
                raise bad
        else:
            try:
                number = int(value, 0)
            except ValueError:
                raise bad
            low, high = INTEGERS[field.type]
            if not low <= number <= high:
                raise SchemaError(line, 'field "%s": %s does not fit %s' % (field.name, value, field.type))


# ---- C ----

def c_type(field):
    if field.is_struct():
        return 'struct ' + field.type.name
    return PRIMITIVES[field.type][0]


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
            total += PRIMITIVES[f.type][1]
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
        self.line(1, '*m = (struct %s){%s};' % (struct.name, ', '.join(values)) if values else 'memset(m, 0, sizeof *m);')
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
                for n, f in enumerate(tagged):
                    test = condition(f.versions, tag_versions)
                    self.line(indent + 1, '%sif (t.tag == %d%s) {' % ('} else ' if n else '', f.tag, ' && ' + test if test else ''))
                    self.read_field(indent + 2, f, '&t.value')
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
            least = PRIMITIVES[f.type][1]
        self.line(indent, '%s = wire_get_array(%s, %s, %s, %d, sizeof *%s, &%s_count);' %
                  (name, r, flexible, null, max(least, 1), name, name))
        failed = '(%s)->failed' % r if r.startswith('&') else r + '->failed'
        failed = failed.replace('(&t.value)->', 't.value.')
        self.line(indent, 'for (int32_t i = 0; i < %s_count && !%s; i++)' % (name, failed))
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
        m = self.message
        high = 'version > %d' % m.versions.high
        low = 'version < %d || ' % m.versions.low
        self.out += ('''bool {n}_decode(struct wire_reader *r, int16_t version, struct {n} *m)
{{
    if ({low}{high}) return wire_fail(r, "unknown version");
    {n}_read(r, version, m);
    return !r->failed;
}}

void {n}_encode(struct wire_writer *w, int16_t version, const struct {n} *m)
{{
    assert(version >= {vl} && version <= {vh});
    {n}_write(w, version, m);
}}
''').format(n=m.name, low=low, high=high, vl=m.versions.low, vh=m.versions.high).split('\n')


def struct_text(struct, message):
    """Declaration of the C struct, with the versions of each field beside it."""
    out = ['struct %s {' % struct.name]
    for f in struct.fields:
        low, high = f.versions.low > message.versions.low, f.versions.high < message.versions.high
        notes = []
        if low or high:
            notes.append('v%d' % f.versions.low + ('' if f.versions.low == f.versions.high else
                         '+' if not high else '-%d' % f.versions.high))
        if f.nullable:
            notes.append('may be null' if f.null == f.versions else
                         'may be null in v%d%s' % (f.null.low, '+' if f.null.high == message.versions.high else '-%d' % f.null.high))
        if f.tag is not None:
            notes.append('tag %d' % f.tag)
        if f.default is not None:
            notes.append('default ' + f.default)
        star = '*' if f.array or f.pointer() else ''
        if f.pointer() and f.default != 'null':
            notes.append('the default points to constants')
        comment = ' /* %s */' % ', '.join(notes) if notes else ''
        out.append('    %s %s%s;%s' % (c_type(f), star, f.name, comment))
        if f.array:
            out.append('    int32_t %s_count;' % f.name)
    if not struct.fields:
        out.append('    char empty; /* no fields */')
    return out + ['};']


BANNER = '/* Made by protocol/gen/kafka_gen.py from protocol/schema. */'


def header_text(apis, messages):
    out = [BANNER, '#ifndef OTTLA_MESSAGES_H', '#define OTTLA_MESSAGES_H', '', '#include "protocol/message.h"', '',
           '/* Every API that the codec knows: X(key, name, snake_name). */', '#define KAFKA_API_TABLE(X) \\']
    out += ['    X(%d, %s, %s) \\' % (a.key, camel(a.name), a.name) for a in apis] + ['', '', 'enum kafka_api_key {']
    out += ['    KAFKA_API_%s = %d,' % (a.name.upper(), a.key) for a in apis] + ['};', '']
    for m in messages:
        name = m.name
        for s in m.structs:
            out += struct_text(s, m) + ['']
        out += ['void %s_init(struct %s *m);' % (s.name, s.name) for s in m.structs]
        out += ['bool %s_decode(struct wire_reader *r, int16_t version, struct %s *m) WARN_UNUSED;' % (name, name),
                'void %s_encode(struct wire_writer *w, int16_t version, const struct %s *m);' % (name, name), '']
    return out + ['#endif', '']


def handlers_text(apis):
    """What depends on `serve` stands apart from messages.h, so that serving one more API does not compile everything."""
    out = [BANNER, '/* The handlers of all served APIs. Include broker/api.h, which has enum api_result, before. */',
           '#ifndef OTTLA_API_HANDLERS_H', '#define OTTLA_API_HANDLERS_H', '', '#include "protocol/messages.h"', '',
           '/* X(key, name, snake_name, version_min, version_max). */', '#define KAFKA_SERVED_TABLE(X) \\']
    out += ['    X(%d, %s, %s, %d, %d) \\' % (a.key, camel(a.name), a.name, a.serve.low, a.serve.high) for a in apis if a.serve]
    out += ['', '', 'struct request;', '']
    for a in apis:
        if a.serve:
            out += ['enum api_result api_handle_%s(struct request *rq, const struct %s_request *in, struct %s_response *out);' %
                    (a.name, a.name, a.name)]
    return out + ['', '#endif', '']


def schema_text(messages, path):
    out = [BANNER, '/* From %s. */' % path, '#include "protocol/messages.h"', '']
    for m in messages:
        out += Source(m).out
    return out


def table_text(apis, messages):
    """Reflection and the tables of messages and APIs."""
    out = [BANNER, '#include "protocol/messages.h"', '']
    structs, names, text, fields, rows = {}, {}, [], [], []
    position = 0
    for m in messages:
        for s in m.structs:
            structs[s.name] = len(structs)
            rows.append('    {sizeof(struct %s), %d, %d},' % (s.name, len(fields), len(s.fields)))
            for f in s.fields:
                if f.name not in names:
                    names[f.name] = position
                    text.append('    "%s\\0"' % f.name)
                    position += len(f.name) + 1
                null = f.null if f.nullable else NEVER
                flags = '|'.join((['WIRE_ARRAY'] if f.array else []) + (['WIRE_POINTER'] if f.pointer() else [])) or '0'
                fields.append('    {%d, offsetof(struct %s, %s), %d, %d, %d, %d, %d, WIRE_%s, %s, %s},' % (
                    names[f.name], s.name, f.name, f.versions.low, f.versions.high, null.low, null.high,
                    -1 if f.tag is None else f.tag, 'STRUCT' if f.is_struct() else f.type.upper(), flags,
                    structs[f.type.name] if f.is_struct() else '0'))
    out += ['const char wire_names[] ='] + text + ['    "";', '', 'const struct wire_field wire_fields[] = {'] + fields + ['};', '']
    out += ['const struct wire_struct wire_structs[] = {'] + rows + ['};', '']
    for m in messages:
        n = m.name
        out += ['static void %s_init_any(void *m) { %s_init(m); }' % (n, n),
                'static bool %s_decode_any(struct wire_reader *r, int16_t v, void *m) { return %s_decode(r, v, m); }' % (n, n),
                'static void %s_encode_any(struct wire_writer *w, int16_t v, const void *m) { %s_encode(w, v, m); }' % (n, n)]
    out += ['', 'const struct wire_message wire_messages[] = {']
    index = {}
    for m in messages:
        index[m.name] = len(index)
        flexible = 'WIRE_VERSION_NONE' if m.flexible.empty() else m.flexible.low
        out.append('    {"%s", %s, %d, %s, %d, %d, %s, %d, sizeof(struct %s), %s_init_any, %s_decode_any, %s_encode_any},' % (
            camel(m.name), KINDS[m.kind], m.type, '"%s"' % m.topic if m.topic else 'NULL', m.versions.low, m.versions.high,
            flexible, structs[m.name], m.name, m.name, m.name, m.name))
    out += ['};', 'const int wire_messages_count = countof(wire_messages);', '', 'const struct kafka_api kafka_apis[] = {']
    for a in apis:
        flexible = 'WIRE_VERSION_NONE' if a.flexible.empty() else a.flexible.low
        unstable = 'WIRE_VERSION_NONE' if a.unstable == VERSION_MAX else a.unstable
        out.append('    {%d, "%s", "%s", %d, %d, %s, %s, %d, %d, KAFKA_THREAD_%s, &wire_messages[%d], &wire_messages[%d]},' % (
            a.key, camel(a.name), a.name, a.versions.low, a.versions.high, flexible, unstable,
            a.serve.low if a.serve else -1, a.serve.high if a.serve else -1, a.thread.upper(),
            index[a.name + '_request'], index[a.name + '_response']))
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


def load(paths):
    """Parses all files; [(path, Parser)]. Names and keys must be unique over all of them."""
    parsed, names, keys, types = [], {}, {}, {}
    for path in paths:
        try:
            with open(path, encoding='utf-8') as f:
                p = Parser(path, f.read())
            for m in p.messages:
                for s in m.structs:
                    if s.name in names:
                        raise SchemaError(s.line, 'struct %s is there already: %s' % (s.name, names[s.name]))
                    names[s.name] = '%s:%d' % (path, s.line)
                if m.kind in ('metadata', 'key', 'value'):
                    if (m.kind, m.topic, m.type) in types:
                        raise SchemaError(m.line, 'type %d is there already: %s' % (m.type, types[m.kind, m.topic, m.type]))
                    types[m.kind, m.topic, m.type] = '%s:%d' % (path, m.line)
            for a in p.apis:
                if a.key in keys:
                    raise SchemaError(a.line, 'key %d is there already: %s' % (a.key, keys[a.key]))
                keys[a.key] = '%s:%d' % (path, a.line)
        except SchemaError as e:
            sys.exit('%s:%d: %s' % (path, e.line, e.text))
        parsed.append((path, p))
    return parsed


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
