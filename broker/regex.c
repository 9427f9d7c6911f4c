/* broker/regex.c: see regex.h.
 *
 * Text -> tree (a recursive descent over RE2's grammar) -> program of small instructions -> run in all states at once
 * (Thompson). Repetitions are written out in the program. */
#include "broker/regex.h"

#include "base/arena.h"
#include "protocol/kafka_error.h"

#include <ctype.h>
#include <stdio.h>

#define REPEAT_MAX       1000 /* RE2's */
#define TREE_BYTES_MAX   (4u << 20)
#define NAME_BYTES_SHOWN 200

struct byte_set {
    uint64_t bits[4];
};

static bool set_has(const struct byte_set *s, uint8_t c)
{
    return s->bits[c >> 6] >> (c & 63) & 1;
}
static void set_add(struct byte_set *s, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to && c < 256; c++) s->bits[c >> 6] |= (uint64_t)1 << (c & 63);
}
static void set_join(struct byte_set *s, const struct byte_set *other)
{
    for (int i = 0; i < 4; i++) s->bits[i] |= other->bits[i];
}
static void set_invert(struct byte_set *s)
{
    for (int i = 0; i < 4; i++) s->bits[i] = ~s->bits[i];
}
static void set_fold(struct byte_set *s)
{
    for (uint8_t c = 'a'; c <= 'z'; c++) {
        uint8_t upper = (uint8_t)(c - 'a' + 'A');
        if (set_has(s, c)) set_add(s, upper, upper);
        else if (set_has(s, upper)) set_add(s, c, c);
    }
}
static struct byte_set set_of(bool (*is)(int c))
{
    struct byte_set s = {{0}};
    for (unsigned c = 0; c < 128; c++)
        if (is((int)c)) set_add(&s, c, c);
    return s;
}

/* -- tree -- */

enum node_type {
    NODE_EMPTY,
    NODE_SET,
    NODE_BEGIN,
    NODE_END,
    NODE_WORD,
    NODE_NOT_WORD,
    NODE_CAT,
    NODE_ALT,
    NODE_REPEAT
};

struct node {
    enum node_type type;
    struct byte_set set;
    struct node *left, *right;
    int min, max; /* of REPEAT; max -1: without end */
};

struct parser {
    const uint8_t *p, *end;
    struct arena arena;
    const char *error; /* the first one */
    bool fold, dot_all;
    bool quoted; /* behind \Q */
    int depth;
};

static struct node *node_new(struct parser *ps, enum node_type type, struct node *left, struct node *right)
{
    struct node *n = arena_calloc(&ps->arena, 1, sizeof *n);
    if (!n) {
        if (!ps->error) ps->error = "expression too large";
        ps->p = ps->end;
        static struct node none;
        return &none;
    }
    n->type = type;
    n->left = left;
    n->right = right;
    return n;
}

static struct node *fail(struct parser *ps, const char *error)
{
    if (!ps->error) ps->error = error;
    ps->p = ps->end;
    return node_new(ps, NODE_EMPTY, NULL, NULL);
}

static struct node *node_set(struct parser *ps, struct byte_set set)
{
    struct node *n = node_new(ps, NODE_SET, NULL, NULL);
    if (ps->fold) set_fold(&set);
    if (!ps->error) n->set = set;
    return n;
}

static struct node *node_byte(struct parser *ps, uint8_t c)
{
    struct byte_set s = {{0}};
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
static bool is_word(int c)
{
    return isalnum(c) || c == '_';
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
    {"alnum", c_alnum},  {"alpha", c_alpha}, {"ascii", is_ascii}, {"blank", c_blank},   {"cntrl", c_cntrl},
    {"digit", is_digit}, {"graph", c_graph}, {"lower", c_lower},  {"print", c_print},   {"punct", c_punct},
    {"space", c_space},  {"upper", c_upper}, {"word", is_word},   {"xdigit", c_xdigit},
};
/* Unicode classes, as far as they have ASCII in them. */
static const struct named_class unicode_classes[] = {
    {"L", c_alpha}, {"Lu", c_upper}, {"Ll", c_lower}, {"N", is_digit}, {"Nd", is_digit}, {"Latin", c_alpha},
};

static bool class_find(const struct named_class *classes, size_t count, struct slice name, struct byte_set *ret)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_text(name, classes[i].name)) {
            *ret = set_of(classes[i].is);
            return true;
        }
    return false;
}

/* Behind "\p" or "\P". */
static bool unicode_class(struct parser *ps, bool negative, struct byte_set *ret)
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
static bool escaped_class(struct parser *ps, uint8_t c, struct byte_set *ret)
{
    switch (c) {
    case 'd':
    case 'D': *ret = set_of(is_digit); break;
    case 'w':
    case 'W': *ret = set_of(is_word); break;
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

static struct node *parse_class(struct parser *ps)
{
    struct byte_set set = {{0}}, part;
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
    struct node *n = node_set(ps, set);
    ps->fold = fold;
    return n;
}

static struct node *parse_alternatives(struct parser *ps);

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

static struct node *parse_group(struct parser *ps)
{
    bool fold = ps->fold, dot_all = ps->dot_all;
    if (++ps->depth > REGEX_DEPTH_MAX) return fail(ps, "expression nests too deeply");
    if (skip(ps, "?P<") || (at(ps, "?<") && !at(ps, "?<=") && !at(ps, "?<!") && skip(ps, "?<"))) {
        const uint8_t *name = ps->p;
        while (ps->p < ps->end && is_word(*ps->p)) ps->p++;
        if (ps->p == name || !skip(ps, ">")) return fail(ps, "invalid named capture");
    } else if (skip(ps, "?")) {
        bool closed;
        if (!parse_flags(ps, &closed)) return fail(ps, "invalid or unsupported Perl syntax");
        if (closed) {
            ps->depth--;
            return node_new(ps, NODE_EMPTY, NULL, NULL);
        }
    }
    struct node *n = parse_alternatives(ps);
    if (!skip(ps, ")")) return fail(ps, "missing closing )");
    ps->fold = fold;
    ps->dot_all = dot_all;
    ps->depth--;
    return n;
}

static struct node *parse_escape(struct parser *ps)
{
    if (ps->p == ps->end) return fail(ps, "trailing backslash at end of expression");
    uint8_t c = *ps->p++;
    struct byte_set set = {{0}};
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

static struct node *parse_atom(struct parser *ps)
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
        struct byte_set set = {{0}};
        set_add(&set, '\n', '\n');
        if (ps->dot_all) set = (struct byte_set){{0}};
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

static struct node *parse_repeat(struct parser *ps)
{
    struct node *n = parse_atom(ps);
    int min, max, more;
    if (ps->quoted || !parse_operator(ps, &min, &max)) return n;
    (void)skip(ps, "?"); /* lazy: no difference for whole names */
    if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && max < min)) return fail(ps, "invalid repeat count");
    const uint8_t *before = ps->p;
    if (parse_operator(ps, &more, &more)) {
        ps->p = before;
        return fail(ps, "invalid nested repetition operator");
    }
    struct node *repeat = node_new(ps, NODE_REPEAT, n, NULL);
    if (ps->error) return repeat;
    repeat->min = min;
    repeat->max = max;
    return repeat;
}

static struct node *parse_alternatives(struct parser *ps)
{
    struct node *all = NULL, *one = node_new(ps, NODE_EMPTY, NULL, NULL);
    while (ps->p < ps->end && (ps->quoted || *ps->p != ')')) {
        if (!ps->quoted && skip(ps, "\\Q")) {
            ps->quoted = !skip(ps, "\\E");
        } else if (!ps->quoted && skip(ps, "|")) {
            all = all ? node_new(ps, NODE_ALT, all, one) : one;
            one = node_new(ps, NODE_EMPTY, NULL, NULL);
        } else {
            one = node_new(ps, NODE_CAT, one, parse_repeat(ps));
        }
    }
    return all ? node_new(ps, NODE_ALT, all, one) : one;
}

/* -- program -- */

enum op { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_WORD, OP_NOT_WORD, OP_MATCH };

struct instruction {
    enum op op;
    int32_t to, other;   /* of SPLIT and JUMP */
    struct byte_set set; /* of SET */
};

struct regex {
    struct instruction *code;
    int32_t count, size;
    bool too_large;
    /* of a run: states at this byte and the next, each once, and what is still to be followed */
    int32_t *now, *next, *stack;
    uint32_t *seen;
    uint32_t mark;
};

static int32_t emit(struct regex *r, enum op op)
{
    if (r->count == REGEX_STATES_MAX) {
        r->too_large = true;
        return 0;
    }
    if (r->count == r->size) {
        r->size = r->size ? r->size * 2 : 16;
        r->code = xrealloc(r->code, (size_t)r->size * sizeof r->code[0]);
    }
    r->code[r->count] = (struct instruction){.op = op};
    return r->count++;
}

static void emit_node(struct regex *r, const struct node *n);

static void emit_repeat(struct regex *r, const struct node *n)
{
    for (int i = 0; i < n->min && !r->too_large; i++) emit_node(r, n->left);
    if (n->max < 0) {
        int32_t split = emit(r, OP_SPLIT);
        emit_node(r, n->left);
        int32_t back = emit(r, OP_JUMP);
        if (r->too_large) return;
        r->code[back].to = split;
        r->code[split].to = split + 1;
        r->code[split].other = r->count;
    }
    for (int i = n->min; i < n->max && !r->too_large;
         i++) { /* x{2,4} is xx(x(x)?)?: each may also be left out by itself */
        int32_t split = emit(r, OP_SPLIT);
        emit_node(r, n->left);
        if (r->too_large) return;
        r->code[split].to = split + 1;
        r->code[split].other = r->count;
    }
}

static void emit_node(struct regex *r, const struct node *n)
{
    if (r->too_large) return;
    switch (n->type) {
    case NODE_EMPTY: break;
    case NODE_SET: {
        int32_t set = emit(r, OP_SET); /* which may move the code */
        r->code[set].set = n->set;
        break;
    }
    case NODE_BEGIN: (void)emit(r, OP_BEGIN); break;
    case NODE_END: (void)emit(r, OP_END); break;
    case NODE_WORD: (void)emit(r, OP_WORD); break;
    case NODE_NOT_WORD: (void)emit(r, OP_NOT_WORD); break;
    case NODE_CAT:
        emit_node(r, n->left);
        emit_node(r, n->right);
        break;
    case NODE_ALT: {
        int32_t split = emit(r, OP_SPLIT);
        emit_node(r, n->left);
        int32_t jump = emit(r, OP_JUMP);
        int32_t second = r->count;
        emit_node(r, n->right);
        if (r->too_large) return;
        r->code[split].to = split + 1;
        r->code[split].other = second;
        r->code[jump].to = r->count;
        break;
    }
    case NODE_REPEAT: emit_repeat(r, n); break;
    }
}

struct regex *regex_compile(struct slice text, struct err *err)
{
    struct parser ps = {.p = text.ptr, .end = text.ptr + text.len};
    struct regex *r = xcalloc(1, sizeof *r);
    arena_init(&ps.arena, TREE_BYTES_MAX);
    struct node *tree = parse_alternatives(&ps);
    if (!ps.error && ps.p < ps.end) ps.error = "missing opening (";
    if (!ps.error) {
        emit_node(r, tree);
        (void)emit(r, OP_MATCH);
        if (r->too_large) ps.error = "expression too large";
    }
    arena_done(&ps.arena);
    if (ps.error) {
        struct slice shown = slice_make(text.ptr, MIN(text.len, NAME_BYTES_SHOWN));
        (void)err_set(err, KAFKA_INVALID_REGULAR_EXPRESSION,
                      "SubscribedTopicRegex `" SLICE_FMT "` is not a valid regular expression: %s.", SLICE_ARG(shown),
                      ps.error);
        regex_free(r);
        return NULL;
    }
    r->now = xcalloc((size_t)r->count, sizeof r->now[0]);
    r->next = xcalloc((size_t)r->count, sizeof r->next[0]);
    r->stack = xcalloc((size_t)r->count * 2 + 1, sizeof r->stack[0]);
    r->seen = xcalloc((size_t)r->count, sizeof r->seen[0]);
    return r;
}

void regex_free(struct regex *r)
{
    if (!r) return;
    free(r->code);
    free(r->now);
    free(r->next);
    free(r->stack);
    free(r->seen);
    free(r);
}

static bool word_boundary(struct slice name, uint32_t position)
{
    bool before = position > 0 && is_word(name.ptr[position - 1]);
    bool after = position < name.len && is_word(name.ptr[position]);
    return before != after;
}

/* Adds to states what can be reached from `from` without reading. Returns how many there are. */
static int32_t follow(struct regex *r, int32_t from, struct slice name, uint32_t position, int32_t *states,
                      int32_t count, bool *ret_match)
{
    int32_t open = 0;
    r->stack[open++] = from;
    while (open) {
        int32_t i = r->stack[--open];
        if (r->seen[i] == r->mark) continue;
        r->seen[i] = r->mark;
        const struct instruction *in = &r->code[i];
        bool pass = false;
        switch (in->op) {
        case OP_SET: states[count++] = i; break;
        case OP_SPLIT:
            r->stack[open++] = in->other;
            r->stack[open++] = in->to;
            break;
        case OP_JUMP: r->stack[open++] = in->to; break;
        case OP_BEGIN: pass = position == 0; break;
        case OP_END: pass = position == name.len; break;
        case OP_WORD: pass = word_boundary(name, position); break;
        case OP_NOT_WORD: pass = !word_boundary(name, position); break;
        case OP_MATCH: *ret_match = true; break;
        }
        if (pass) r->stack[open++] = i + 1;
    }
    return count;
}

bool regex_matches(struct regex *r, struct slice name)
{
    bool match = false;
    r->mark++;
    int32_t count = follow(r, 0, name, 0, r->now, 0, &match);
    for (uint32_t position = 0; position < name.len; position++) {
        if (!count) return false;
        int32_t next_count = 0;
        match = false;
        r->mark++;
        for (int32_t i = 0; i < count; i++)
            if (set_has(&r->code[r->now[i]].set, name.ptr[position]))
                next_count = follow(r, r->now[i] + 1, name, position + 1, r->next, next_count, &match);
        int32_t *states = r->now;
        r->now = r->next;
        r->next = states;
        count = next_count;
    }
    return match;
}
