#!/usr/bin/env python3
"""Compares protocol/schema with Kafka's own message definitions: for each message and each version the fields in wire
order with name, type, nullability, tag and default; keys, version ranges, flexible and unstable versions. Compares the
error codes likewise.

    schema_compare.py SCHEMA_DIR KAFKA_ERROR_H

Prints each difference; exit status 1 when there is one. It also breaks some schemas on purpose and fails when the
comparison does not notice."""
import glob
import json
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, 'lib'), os.path.join(HERE, '..', 'protocol', 'gen')]
import api_schema
import kafka_reference

KINDS = {'coordinator-key': 'key', 'coordinator-value': 'value'}
MESSAGES_MIN = 243


def load_definition(path):
    with open(path, encoding='utf-8') as f:
        return json.loads('\n'.join(line for line in f if not line.lstrip().startswith('//')))


def versions(text):
    if text == 'none':
        return api_schema.NEVER
    return api_schema.parse_range(text, 0, 'versions')


# One field as a plain dict, from either side.

def defined_default(field, kind):
    value = field.get('default')
    if value is None:
        return {'string': ''}.get(kind, 'zero')
    return normal_default(str(value).lower() if isinstance(value, bool) else str(value), kind)


def normal_default(text, kind):
    if text == 'null':
        return 'null'
    if kind in api_schema.INTEGERS:
        return int(text, 0) or 'zero'
    if kind == 'bool':
        return text == 'true' or 'zero'
    if kind == 'float64':
        return float(text) or 'zero'
    return text


def defined_fields(definition, fields, version):
    shared = {s['name']: s['fields'] for s in definition.get('commonStructs', [])}
    result = []
    for f in fields:
        if version not in versions(f.get('versions') or f['taggedVersions']):
            continue
        array, base = f['type'].startswith('[]'), f['type'].replace('[]', '')
        struct = base[0].isupper()
        kind = 'array' if array else 'struct' if struct else base
        result.append({
            'name': f['name'][0].upper() + f['name'][1:], 'array': array, 'type': 'struct' if struct else base,
            'struct': base if struct else None,
            'nullable': version in versions(f.get('nullableVersions', 'none')),
            'tag': f['tag'] if version in versions(f.get('taggedVersions', 'none')) else None,
            'classic': f.get('flexibleVersions') == 'none',
            'default': defined_default(f, kind),
            'fields': defined_fields(definition, f.get('fields') or shared[base], version) if struct else None})
    return result


def schema_fields(message, struct, version):
    result = []
    for f in struct.fields:
        if version not in f.versions:
            continue
        kind = 'array' if f.array else 'struct' if f.is_struct() else f.type
        default = f.default[1:-1] if f.default and f.default.startswith('"') else f.default
        result.append({
            'name': api_schema.camel(f.name), 'array': f.array,
            'type': 'struct' if f.is_struct() else 'int16' if f.type == 'error' else f.type,
            'struct': api_schema.camel(f.type.name[len(message.name) + 1:]) if f.is_struct() else None,
            'nullable': f.nullable and version in f.null,
            'tag': f.tag, 'classic': f.classic,
            'default': {'string': ''}.get(kind, 'zero') if default is None else normal_default(default, kind),
            'fields': schema_fields(message, f.type, version) if f.is_struct() else None})
    return result


def compare_fields(where, prefixes, defined, ours):
    """Yields texts. A struct's name may lack the message's or the API's name at its beginning."""
    if [f['name'] for f in defined] != [f['name'] for f in ours]:
        yield '%s: fields are %s, not %s' % (where, [f['name'] for f in ours], [f['name'] for f in defined])
        return
    for d, o in zip(defined, ours):
        here = '%s.%s' % (where, d['name'])
        for key in ('array', 'type', 'nullable', 'tag', 'classic', 'default'):
            if d[key] != o[key]:
                yield '%s: %s is %r, not %r' % (here, key, o[key], d[key])
        if d['struct'] and o['struct']:
            if d['struct'] not in [p + o['struct'] for p in prefixes]:
                yield '%s: its type is %s, not %s' % (here, o['struct'], d['struct'])
            yield from compare_fields(here, prefixes, d['fields'], o['fields'])


def compare(definitions, messages, apis):
    """definitions: {name: [definition, ...]}, newest first; the older counts for the versions that the newer lacks."""
    ours = {api_schema.camel(m.name): m for m in messages}
    for name in sorted(set(definitions) - set(ours)):
        yield '%s: no schema' % name
    for name in sorted(set(ours) - set(definitions)):
        yield '%s: Kafka has no such message' % name
    for name in sorted(set(ours) & set(definitions)):
        message, seen = ours[name], set()
        for definition in definitions[name]:
            valid = versions(definition['validVersions'])
            for version in sorted(set(range(valid.low, valid.high + 1)) - seen):
                seen.add(version)
                where = '%s v%d' % (name, version)
                if version not in message.versions:
                    yield '%s: missing' % where
                    continue
                if (version in versions(definition['flexibleVersions'])) != (version in message.flexible):
                    yield '%s: flexible differs' % where
                prefixes = ['', name, re.sub('(Request|Response)$', '', name)]
                yield from compare_fields(where, prefixes, defined_fields(definition, definition['fields'], version),
                                          schema_fields(message, message.root, version))
        if set(range(message.versions.low, message.versions.high + 1)) != seen:
            yield '%s: versions %d-%d are not Kafka\'s' % (name, message.versions.low, message.versions.high)
        newest = definitions[name][0]
        if KINDS.get(newest['type'], newest['type']) != message.kind:
            yield '%s: kind is %s, not %s' % (name, message.kind, newest['type'])
        if newest.get('apiKey', -1) != message.type:
            yield '%s: key or type is %d, not %d' % (name, message.type, newest.get('apiKey', -1))
    for api in apis:
        newest = definitions[api_schema.camel(api.name) + 'Request'][0]
        highest = versions(newest['validVersions']).high
        unstable = highest if newest.get('latestVersionUnstable') else api_schema.VERSION_MAX
        if api.unstable != unstable:
            yield '%s: unstable from %d, not %d' % (api.name, api.unstable, unstable)


def parse(paths, path=None, old=None, new=None):
    """Messages and APIs of all files, with the pattern old replaced in the named one."""
    messages, apis, found = [], [], path is None
    for p in paths:
        with open(p, encoding='utf-8') as f:
            text = f.read()
        if path and p.endswith('/' + path):
            text, count = re.subn(old, new, text, count=1)
            assert count, (path, old)
            found = True
        parser = api_schema.Parser(p, text)
        messages += parser.messages
        apis += parser.apis
    assert found, path
    return messages, apis


def compare_errors(reference, header):
    with open(reference, encoding='utf-8') as f:
        defined = {(e['name'], e['code'], int(e['retriable'])) for e in json.load(f)}
    with open(header, encoding='utf-8') as f:
        ours = {(m[1], int(m[2]), int(m[3])) for m in re.finditer(r'X\((\w+), (-?\d+), (\d), "', f.read())}
    for error in sorted(defined ^ ours):
        yield 'error code %s, %d, retriable %d: only %s' % (error + ('Kafka' if error in defined else 'we',))


BREAKS = [  # file, pattern, replacement: each must be noticed
    ('heartbeat.api', r'string\? +3\+', 'string?  2+'), ('heartbeat.api', 'heartbeat key 12', 'heartbeat key 14'),
    ('heartbeat.api', r'generation_id +int32', 'generation_id  int64'),
    ('heartbeat.api', r'flexible 4\+', 'flexible 3+'), ('heartbeat.api', 'versions 0-4', 'versions 0-5'),
    ('fetch.api', '= 0x7fffffff', '= 0x7ffffffe'), ('fetch.api', r'15\+ tag 1', '15+ tag 2'),
    ('fetch.api', r'\[\]topic\b', '[]topics'), ('offset_fetch.api', 'null 2-7', 'null 1-7'),
    ('offset_fetch.api', r' unstable 10\+', ''), ('header.api', ' classic', ''),
    ('metadata.api', 'throttle_time_ms', 'throttle_ms'), ('offsets.api', 'type 1 topic', 'type 3 topic')]


def main():
    paths = sorted(glob.glob(os.path.join(sys.argv[1], '*.api')) + glob.glob(os.path.join(sys.argv[1], '*', '*.api')))
    definitions = {}
    with tempfile.TemporaryDirectory() as scratch:
        reference = kafka_reference.folder(scratch)
        root = os.path.join(reference, 'messages')
        differences = list(compare_errors(os.path.join(reference, 'error-codes.json'), sys.argv[2]))
        for folder in ('api', 'api-3.9', 'headers', 'records', 'metadata'):
            files = sorted(glob.glob(os.path.join(root, folder, '*.json')), key=lambda p: ('-3.9' in p, p))
            for path in files:
                definition = load_definition(path)
                definitions.setdefault(definition['name'], []).append(definition)
    if len(definitions) < MESSAGES_MIN:
        sys.exit('only %d definitions' % len(definitions))
    messages, apis = parse(paths)
    differences += compare(definitions, messages, apis)
    for text in differences:
        print(text)
    for path, old, new in BREAKS:
        if not list(compare(definitions, *parse(paths, path, old, new))):
            differences.append(path)
            print('%s: "%s" in place of "%s" is not noticed' % (path, new, old))
    print('%d messages, %d differences' % (len(definitions), len(differences)))
    sys.exit(bool(differences))


if __name__ == '__main__':
    main()
