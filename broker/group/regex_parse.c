/* broker/group/regex_parse.c: a recursive descent over RE2's grammar of regular expressions: text to tree
 * (regex_tree.h).
 *
 * The first error stops it: the rest of the text is skipped. Threads: any. Source: RE2's "Syntax". */
#include "broker/group/regex_tree.h"

#include "broker/group/regex.h"

#define REPEAT_MAX 1000 /* RE2's */

static void set_add(struct regex_set *s, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to && c < 256; c++) s->bits[c >> 6] |= (uint64_t)1 << (c & 63);
}
static void set_join(struct regex_set *s, const struct regex_set *other)
{
    for (int i = 0; i < 4; i++) s->bits[i] |= other->bits[i];
}
static void set_invert(struct regex_set *s)
{
    for (int i = 0; i < 4; i++) s->bits[i] = ~s->bits[i];
}
static void set_fold(struct regex_set *s)
{
    for (uint8_t c = 'a'; c <= 'z'; c++) {
        uint8_t upper = (uint8_t)(c - 'a' + 'A');
        if (regex_set_has(s, c)) set_add(s, upper, upper);
        else if (regex_set_has(s, upper)) set_add(s, c, c);
    }
}
static struct regex_set set_of(bool (*is)(int c))
{
    struct regex_set s = {{0}};
    for (unsigned c = 0; c < 128; c++)
        if (is((int)c)) set_add(&s, c, c);
    return s;
}

struct parser {
    const uint8_t *p, *end;
    struct arena *arena;
    const char *error; /* the first one */
    bool fold, dot_all;
    bool quoted; /* behind \Q */
    int depth;
};

static struct regex_node *node_new(struct parser *ps, enum regex_node_type type, struct regex_node *left,
                                   struct regex_node *right)
{
    struct regex_node *n = arena_calloc(ps->arena, 1, sizeof *n);
    if (!n) {
        if (!ps->error) ps->error = "expression too large";
        ps->p = ps->end;
        static struct regex_node none;
        return &none;
    }
    n->type = type;
    n->left = left;
    n->right = right;
    return n;
}

static struct regex_node *fail(struct parser *ps, const char *error)
{
    if (!ps->error) ps->error = error;
    ps->p = ps->end;
    return node_new(ps, NODE_EMPTY, NULL, NULL);
}

static struct regex_node *node_set(struct parser *ps, struct regex_set set)
{
    struct regex_node *n = node_new(ps, NODE_SET, NULL, NULL);
    if (ps->fold) set_fold(&set);
    if (!ps->error) n->set = set;
    return n;
}

static struct regex_node *node_byte(struct parser *ps, uint8_t c)
{
    struct regex_set s = {{0}};
    set_add(&s, c, c);
    return node_set(ps, s);
}

static bool at(const struct parser *ps, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(ps->end - ps->p) >= len && memcmp(ps->p, text, len) == 0;
}

static bool skip(struct parser *ps, const char *text)
{
    if (!at(ps, text)) return false;
    ps->p += strlen(text);
    return true;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}
static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}
static bool is_ascii(int c)
{
    return c < 128;
}

#define CLASS_OF(name)                                                                                                 \
    static bool c_##name(int c)                                                                                        \
    {                                                                                                                  \
        return is##name(c) != 0;                                                                                       \
    }
CLASS_OF(alnum)
CLASS_OF(alpha)
CLASS_OF(blank)
CLASS_OF(cntrl)
CLASS_OF(graph)
CLASS_OF(lower)
CLASS_OF(print)
CLASS_OF(punct)
CLASS_OF(space)
CLASS_OF(upper)
CLASS_OF(xdigit)

struct named_class {
    const char *name;
    bool (*is)(int c);
};
static const struct named_class posix_classes[] = {
    {"alnum", c_alnum},  {"alpha", c_alpha}, {"ascii", is_ascii},     {"blank", c_blank},   {"cntrl", c_cntrl},
    {"digit", is_digit}, {"graph", c_graph}, {"lower", c_lower},      {"print", c_print},   {"punct", c_punct},
    {"space", c_space},  {"upper", c_upper}, {"word", regex_is_word}, {"xdigit", c_xdigit},
};
/* Unicode classes, as far as they have ASCII in them. */
static const struct named_class unicode_classes[] = {
    {"L", c_alpha}, {"Lu", c_upper}, {"Ll", c_lower}, {"N", is_digit}, {"Nd", is_digit}, {"Latin", c_alpha},
};

static bool class_find(const struct named_class *classes, size_t count, struct slice name, struct regex_set *ret)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_text(name, classes[i].name)) {
            *ret = set_of(classes[i].is);
            return true;
        }
    return false;
}

/* Behind "\p" or "\P". */
static bool unicode_class(struct parser *ps, bool negative, struct regex_set *ret)
{
    struct slice name = SLICE_EMPTY;
    if (skip(ps, "{")) {
        const uint8_t *close = memchr(ps->p, '}', (size_t)(ps->end - ps->p));
        if (!close) return false;
        name = slice_make(ps->p, (uint32_t)(close - ps->p));
        ps->p = close + 1;
    } else if (ps->p < ps->end) {
        name = slice_make(ps->p++, 1);
    }
    if (name.len && name.ptr[0] == '^') {
        negative = !negative;
        name = slice_make(name.ptr + 1, name.len - 1);
    }
    if (!class_find(unicode_classes, countof(unicode_classes), name, ret)) return false;
    if (negative) set_invert(ret);
    return true;
}

/* \d \w \s and their opposites, \p; c is the byte behind the backslash, which was read. */
static bool escaped_class(struct parser *ps, uint8_t c, struct regex_set *ret)
{
    switch (c) {
    case 'd':
    case 'D': *ret = set_of(is_digit); break;
    case 'w':
    case 'W': *ret = set_of(regex_is_word); break;
    case 's':
    case 'S': *ret = set_of(is_space); break;
    case 'p':
    case 'P':
        if (unicode_class(ps, c == 'P', ret)) return true;
        fail(ps, "invalid character class range");
        return true;
    default: return false;
    }
    if (isupper(c)) set_invert(ret);
    return true;
}

static int hex_value(uint8_t c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The code that is escaped as one character; -1: no such escape. Beyond 255 it matches nothing. */
static int escaped_char(struct parser *ps, uint8_t c)
{
    switch (c) {
    case 'a': return '\a';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case 'x': {
        bool braces = skip(ps, "{");
        int value = 0, digits = 0;
        while (ps->p < ps->end && hex_value(*ps->p) >= 0 && digits < (braces ? 6 : 2)) {
            value = value * 16 + hex_value(*ps->p++);
            digits++;
        }
        return (braces ? digits && skip(ps, "}") : digits == 2) && value <= 0x10ffff ? value : -1;
    }
    case '0': {
        int value = 0;
        for (int i = 0; i < 2 && ps->p < ps->end && *ps->p >= '0' && *ps->p <= '7'; i++)
            value = value * 8 + (*ps->p++ - '0');
        return value;
    }
    default: break;
    }
    if (c >= '1' && c <= '7' && ps->p < ps->end && *ps->p >= '0' &&
        *ps->p <= '7') { /* octal; one digit is a reference */
        int value = (c - '0') * 8 + (*ps->p++ - '0');
        if (ps->p < ps->end && *ps->p >= '0' && *ps->p <= '7') value = value * 8 + (*ps->p++ - '0');
        return value;
    }
    return c >= 128 || isalnum(c) ? -1 : c;
}

/* One end of a range inside [ ]. */
static int class_char(struct parser *ps)
{
    if (ps->p == ps->end) return -1;
    uint8_t c = *ps->p++;
    if (c != '\\') return c;
    if (ps->p == ps->end) return -1;
    c = *ps->p++;
    return escaped_char(ps, c);
}

static struct regex_node *parse_class(struct parser *ps)
{
    struct regex_set set = {{0}}, part;
    bool negative = skip(ps, "^");
    for (bool first = true;; first = false) {
        if (ps->p == ps->end) return fail(ps, "missing closing ]");
        if (*ps->p == ']' && !first) break;
        if (at(ps, "[:")) {
            const uint8_t *close = memmem(ps->p, (size_t)(ps->end - ps->p), ":]", 2);
            if (close) {
                const uint8_t *name = ps->p + 2;
                bool inverse = *name == '^';
                if (inverse) name++;
                if (name > close || !class_find(posix_classes, countof(posix_classes),
                                                slice_make(name, (uint32_t)(close - name)), &part))
                    return fail(ps, "invalid character class range");
                if (inverse) set_invert(&part);
                set_join(&set, &part);
                ps->p = close + 2;
                continue;
            }
        }
        if (ps->end - ps->p >= 2 && ps->p[0] == '\\') {
            const uint8_t *before = ps->p;
            ps->p += 2;
            if (escaped_class(ps, before[1], &part)) {
                set_join(&set, &part);
                continue;
            }
            ps->p = before;
        }
        int from = class_char(ps), to = from;
        if (from < 0) return fail(ps, "invalid escape sequence");
        if (ps->end - ps->p >= 2 && ps->p[0] == '-' && ps->p[1] != ']') {
            ps->p++;
            to = class_char(ps);
            if (to < from) return fail(ps, "invalid character class range");
        }
        set_add(&set, (unsigned)from, (unsigned)to);
    }
    ps->p++;
    if (ps->fold) set_fold(&set); /* before it is inverted */
    if (negative) set_invert(&set);
    bool fold = ps->fold;
    ps->fold = false;
    struct regex_node *n = node_set(ps, set);
    ps->fold = fold;
    return n;
}

static struct regex_node *parse_alternatives(struct parser *ps);

/* Behind "(?": flags. False: they are none. *ret_closed: "(?i)", which holds for the rest of the enclosing group. */
static bool parse_flags(struct parser *ps, bool *ret_closed)
{
    bool on = true, any = false;
    for (; ps->p < ps->end; ps->p++) {
        switch (*ps->p) {
        case 'i': ps->fold = on; break;
        case 's': ps->dot_all = on; break;
        case 'm':
        case 'U': break; /* lines and greediness make no difference for whole names */
        case '-':
            if (!on) return false;
            on = false;
            any = false;
            continue;
        case ':':
        case ')': *ret_closed = *ps->p++ == ')'; return (on || any) && (any || !*ret_closed);
        default: return false;
        }
        any = true;
    }
    return false;
}

static struct regex_node *parse_group(struct parser *ps)
{
    bool fold = ps->fold, dot_all = ps->dot_all;
    if (++ps->depth > REGEX_DEPTH_MAX) return fail(ps, "expression nests too deeply");
    if (skip(ps, "?P<") || (at(ps, "?<") && !at(ps, "?<=") && !at(ps, "?<!") && skip(ps, "?<"))) {
        const uint8_t *name = ps->p;
        while (ps->p < ps->end && regex_is_word(*ps->p)) ps->p++;
        if (ps->p == name || !skip(ps, ">")) return fail(ps, "invalid named capture");
    } else if (skip(ps, "?")) {
        bool closed;
        if (!parse_flags(ps, &closed)) return fail(ps, "invalid or unsupported Perl syntax");
        if (closed) {
            ps->depth--;
            return node_new(ps, NODE_EMPTY, NULL, NULL);
        }
    }
    struct regex_node *n = parse_alternatives(ps);
    if (!skip(ps, ")")) return fail(ps, "missing closing )");
    ps->fold = fold;
    ps->dot_all = dot_all;
    ps->depth--;
    return n;
}

static struct regex_node *parse_escape(struct parser *ps)
{
    if (ps->p == ps->end) return fail(ps, "trailing backslash at end of expression");
    uint8_t c = *ps->p++;
    struct regex_set set = {{0}};
    switch (c) {
    case 'A': return node_new(ps, NODE_BEGIN, NULL, NULL);
    case 'z': return node_new(ps, NODE_END, NULL, NULL);
    case 'b': return node_new(ps, NODE_WORD, NULL, NULL);
    case 'B': return node_new(ps, NODE_NOT_WORD, NULL, NULL);
    case 'C': set_add(&set, 0, 255); return node_set(ps, set);
    default: break;
    }
    if (escaped_class(ps, c, &set)) return node_set(ps, set);
    int code = escaped_char(ps, c);
    if (code < 0) return fail(ps, "invalid escape sequence");
    if (code < 256) set_add(&set, (unsigned)code, (unsigned)code);
    return node_set(ps, set);
}

static struct regex_node *parse_atom(struct parser *ps)
{
    uint8_t c = *ps->p++;
    if (ps->quoted) {
        ps->quoted = !skip(ps, "\\E"); /* an operator behind it takes the last byte */
        return node_byte(ps, c);
    }
    switch (c) {
    case '(': return parse_group(ps);
    case '[': return parse_class(ps);
    case '\\': return parse_escape(ps);
    case '^': return node_new(ps, NODE_BEGIN, NULL, NULL);
    case '$': return node_new(ps, NODE_END, NULL, NULL);
    case '*':
    case '+':
    case '?': return fail(ps, "missing argument to repetition operator");
    case '.': {
        struct regex_set set = {{0}};
        set_add(&set, '\n', '\n');
        if (ps->dot_all) set = (struct regex_set){{0}};
        set_invert(&set);
        return node_set(ps, set);
    }
    default: return node_byte(ps, c);
    }
}

static bool parse_number(const uint8_t **p, const uint8_t *end, int *ret)
{
    int value = 0;
    const uint8_t *start = *p;
    while (*p < end && is_digit(**p)) {
        value = MIN(value * 10 + (**p - '0'), REPEAT_MAX + 1);
        (*p)++;
    }
    *ret = value;
    return *p > start;
}

/* "{2}", "{2,}", "{2,5}". False: it is none and stands for itself. */
static bool parse_count(struct parser *ps, int *ret_min, int *ret_max)
{
    const uint8_t *p = ps->p + 1;
    if (*ps->p != '{' || !parse_number(&p, ps->end, ret_min)) return false;
    *ret_max = *ret_min;
    if (p < ps->end && *p == ',') {
        p++;
        if (!parse_number(&p, ps->end, ret_max)) *ret_max = -1;
    }
    if (p == ps->end || *p != '}') return false;
    ps->p = p + 1;
    return true;
}

static bool parse_operator(struct parser *ps, int *ret_min, int *ret_max)
{
    *ret_min = 0;
    *ret_max = -1;
    if (ps->p == ps->end) return false;
    if (skip(ps, "*")) return true;
    if (skip(ps, "+")) {
        *ret_min = 1;
        return true;
    }
    if (skip(ps, "?")) {
        *ret_max = 1;
        return true;
    }
    return parse_count(ps, ret_min, ret_max);
}

static struct regex_node *parse_repeat(struct parser *ps)
{
    struct regex_node *n = parse_atom(ps);
    int min, max, more;
    if (ps->quoted || !parse_operator(ps, &min, &max)) return n;
    (void)skip(ps, "?"); /* lazy: no difference for whole names */
    if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && max < min)) return fail(ps, "invalid repeat count");
    const uint8_t *before = ps->p;
    if (parse_operator(ps, &more, &more)) {
        ps->p = before;
        return fail(ps, "invalid nested repetition operator");
    }
    struct regex_node *repeat = node_new(ps, NODE_REPEAT, n, NULL);
    if (ps->error) return repeat;
    repeat->min = min;
    repeat->max = max;
    return repeat;
}

static struct regex_node *parse_alternatives(struct parser *ps)
{
    struct regex_node *all, **last = &all; /* where the alternative, or the rest of it, belongs */
    *last = node_new(ps, NODE_EMPTY, NULL, NULL);
    struct regex_node **alternative = last;
    while (ps->p < ps->end && (ps->quoted || *ps->p != ')')) {
        if (!ps->quoted && skip(ps, "\\Q")) {
            ps->quoted = !skip(ps, "\\E");
        } else if (!ps->quoted && skip(ps, "|")) {
            *alternative = node_new(ps, NODE_ALT, *alternative, node_new(ps, NODE_EMPTY, NULL, NULL));
            if (ps->error) break;
            last = alternative = &(*alternative)->right;
        } else {
            struct regex_node *atom = parse_repeat(ps);
            *last = node_new(ps, NODE_CAT, atom, *last);
            if (ps->error) break;
            last = &(*last)->right;
        }
    }
    return all;
}

struct regex_node *regex_parse(struct slice text, struct arena *arena, const char **ret_error)
{
    struct parser ps = {.p = text.ptr, .end = text.ptr + text.len, .arena = arena};
    struct regex_node *tree = parse_alternatives(&ps);
    if (!ps.error && ps.p < ps.end) ps.error = "missing opening (";
    if (!ps.error) return tree;
    *ret_error = ps.error;
    return NULL;
}
