"""The schema files in protocol/schema: their parser and what it makes of them. Grammar and meaning: protocol/README.md.

load() reads files; a mistake in one ends the program with FILE:LINE and what is wrong."""
import re
import sys

VERSION_MAX = 32767
TYPES = {  # bytes on the wire when that is fixed
    'bool': 1, 'int8': 1, 'int16': 2, 'int32': 4, 'int64': 8, 'uint16': 2, 'uint32': 4, 'float64': 8, 'error': 2,
    'uuid': 16, 'varint': None, 'string': None, 'bytes': None, 'records': None}
INTEGERS = {'int8': (-2**7, 2**7 - 1), 'int16': (-2**15, 2**15 - 1), 'int32': (-2**31, 2**31 - 1),
            'int64': (-2**63, 2**63 - 1), 'uint16': (0, 2**16 - 1), 'uint32': (0, 2**32 - 1),
            'error': (-2**15, 2**15 - 1), 'varint': (-2**31, 2**31 - 1)}
NULLABLE = {'string', 'bytes', 'records'}
C_WORDS = set('''auto bool break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile
    while linux unix'''.split())
NAME = re.compile(r'[a-z][a-z0-9]*(_[a-z0-9]+)*\Z')
OPERATIONS = {  # of access rules, as numbered by the protocol
    'alter': 7, 'describe': 8, 'cluster_action': 9, 'describe_configs': 10, 'alter_configs': 11}
KINDS = ('header', 'data', 'metadata', 'key', 'value')  # besides api


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
    """type: a name of TYPES or the Struct; versions, null: clipped to those of the parent."""
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
        if kind not in KINDS:
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
        found = self.attributes(line, words[2:], ['key', 'versions', 'flexible', 'unstable', 'serve', 'thread', 'authorize'],
                                ['key', 'versions'])
        api.key = self.number(line, 'key', found['key'])
        api.versions, api.flexible = self.versions(line, found)
        api.unstable = parse_range(found['unstable'], line, 'unstable').low if 'unstable' in found else VERSION_MAX
        api.serve = parse_range(found['serve'], line, 'serve') if 'serve' in found else None
        if api.serve and api.serve.high == VERSION_MAX:
            raise SchemaError(line, 'serve: the last version must be named')
        if api.serve and not api.serve.within(api.versions):
            raise SchemaError(line, 'serve: the codec knows only versions %d-%d' %
                              (api.versions.low, api.versions.high))
        if api.serve and api.serve.high >= api.unstable:
            raise SchemaError(line, 'serve: versions from %d on are unstable' % api.unstable)
        api.thread = found.get('thread', 'control')
        if api.thread not in ('network', 'control'):
            raise SchemaError(line, 'thread: "%s" is neither network nor control' % api.thread)
        api.authorize = found.get('authorize')
        if api.authorize and api.authorize not in OPERATIONS:
            raise SchemaError(line, 'authorize: "%s" is not an operation; known: %s' %
                              (api.authorize, ', '.join(OPERATIONS)))
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
        if any(s.name == full for s in message.structs) or name in TYPES:
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
            if isinstance(field.type, str) and field.type not in TYPES:
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
        if field.nullable and field.type in TYPES and field.type not in NULLABLE and not field.array:
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
                    key = (m.kind, m.topic, m.type)
                    if key in types:
                        raise SchemaError(m.line, 'type %d is there already: %s' % (m.type, types[key]))
                    types[key] = '%s:%d' % (path, m.line)
            for a in p.apis:
                if a.key in keys:
                    raise SchemaError(a.line, 'key %d is there already: %s' % (a.key, keys[a.key]))
                keys[a.key] = '%s:%d' % (path, a.line)
        except SchemaError as e:
            sys.exit('%s:%d: %s' % (path, e.line, e.text))
        parsed.append((path, p))
    return parsed
