/* protocol/otlp.c: see otlp.h: protobuf's fields, then one function for each level of the format, each called with the
 * bytes of its level alone. */
#include "protocol/otlp.h"

#include "base/varint.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

/* -- protobuf -- */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint64_t number;
    enum wire_type type;
    uint64_t bits;      /* of numbers */
    struct slice bytes; /* WIRE_BYTES */
};

/* Walks the fields of a message; `failed` is told at its end. */
struct fields {
    const uint8_t *p, *end;
    bool failed;
};

static struct fields fields_of(struct slice message)
{
    return (struct fields){.p = message.ptr, .end = message.ptr + message.len};
}

static bool fail(struct fields *f)
{
    f->failed = true;
    return false;
}

static bool take_varint(struct fields *f, uint64_t *ret)
{
    int n = uvarlong_read(f->p, f->end, ret);
    f->p += n;
    return n > 0 || fail(f);
}

static bool take_fixed(struct fields *f, size_t size, uint64_t *ret)
{
    uint64_t bits = 0;

    if ((size_t)(f->end - f->p) < size) return fail(f);
    memcpy(&bits, f->p, size);
    *ret = le64toh(bits);
    f->p += size;
    return true;
}

static bool take_bytes(struct fields *f, struct slice *ret)
{
    uint64_t len;

    if (!take_varint(f, &len)) return false;
    if (len > (uint64_t)(f->end - f->p)) return fail(f);
    *ret = slice_make(f->p, (uint32_t)len);
    f->p += len;
    return true;
}

/* Groups (types 3 and 4) are of protobuf's second version: the format has none. */
static bool field_next(struct fields *f, struct field *ret)
{
    uint64_t tag;

    if (f->p == f->end || f->failed || !take_varint(f, &tag)) return false;
    *ret = (struct field){.number = tag >> 3, .type = (enum wire_type)(tag & 7)};
    if (ret->number == 0) return fail(f);
    switch (ret->type) {
    case WIRE_VARINT: return take_varint(f, &ret->bits);
    case WIRE_FIXED64: return take_fixed(f, 8, &ret->bits);
    case WIRE_FIXED32: return take_fixed(f, 4, &ret->bits);
    case WIRE_BYTES: return take_bytes(f, &ret->bytes);
    }
    return fail(f);
}

static bool is_bytes(const struct field *v, uint64_t number)
{
    return v->number == number && v->type == WIRE_BYTES;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* -- attributes -- */

/* Arrays, maps and bytes have no text. */
static bool read_value(struct slice value, struct otlp_attribute *a)
{
    struct fields f = fields_of(value);
    struct field v;

    a->text = SLICE_EMPTY;
    while (field_next(&f, &v)) {
        if (is_bytes(&v, 1)) {
            a->text = v.bytes;
            continue;
        }
        if (v.number == 2 && v.type == WIRE_VARINT)
            snprintf(a->digits, sizeof a->digits, "%s", v.bits ? "true" : "false");
        else if (v.number == 3 && v.type == WIRE_VARINT)
            snprintf(a->digits, sizeof a->digits, "%" PRId64, (int64_t)v.bits);
        else if (v.number == 4 && v.type == WIRE_FIXED64)
            snprintf(a->digits, sizeof a->digits, "%.17g", double_of(v.bits));
        else continue;
        a->text = slice_of(a->digits);
    }
    return !f.failed;
}

static bool read_attribute(struct slice attribute, struct otlp_point *p)
{
    struct fields f = fields_of(attribute);
    struct otlp_attribute spare, *a = &spare;
    struct slice value = SLICE_EMPTY;
    struct field v;

    p->crowded |= p->attributes_count == OTLP_ATTRIBUTES_MAX;
    if (!p->crowded) a = &p->attributes[p->attributes_count++];
    a->key = SLICE_EMPTY;
    while (field_next(&f, &v)) {
        if (is_bytes(&v, 1)) a->key = v.bytes;
        if (is_bytes(&v, 2)) value = v.bytes;
    }
    return !f.failed && read_value(value, a);
}

/* Of a resource or a point: the field of this number. */
static bool read_attributes(struct slice message, uint64_t number, struct otlp_point *p)
{
    struct fields f = fields_of(message);
    struct field v;

    while (field_next(&f, &v))
        if (is_bytes(&v, number) && !read_attribute(v.bytes, p)) return false;
    return !f.failed;
}

/* -- metrics -- */

#define TEMPORALITY_DELTA 1

static bool read_point(struct otlp_reader *r, struct slice point, struct otlp_point *p)
{
    struct fields f = fields_of(point);
    int resource_attributes = p->attributes_count;
    bool crowded = p->crowded, has_value = false;
    struct field v;

    while (field_next(&f, &v)) {
        if (v.type != WIRE_FIXED64 || (v.number != 4 && v.number != 6)) continue;
        p->value = v.number == 4 ? double_of(v.bits) : (double)(int64_t)v.bits;
        has_value = true;
    }
    if (f.failed || !read_attributes(point, 7, p)) return false;
    if (has_value) r->point(r->arg, p);
    else r->left_out++;
    p->attributes_count = resource_attributes;
    p->crowded = crowded;
    return true;
}

static bool read_points(struct otlp_reader *r, struct slice data, struct otlp_point *p)
{
    struct fields f = fields_of(data);
    struct field v;

    p->is_delta = p->is_monotonic = false;
    while (field_next(&f, &v)) {
        if (v.type != WIRE_VARINT || !p->is_sum) continue;
        if (v.number == 2) p->is_delta = v.bits == TEMPORALITY_DELTA;
        if (v.number == 3) p->is_monotonic = v.bits != 0;
    }
    if (f.failed) return false;
    for (f = fields_of(data); field_next(&f, &v);)
        if (is_bytes(&v, 1) && !read_point(r, v.bytes, p)) return false;
    return true;
}

static bool read_metric(struct otlp_reader *r, struct slice metric, struct otlp_point *p)
{
    struct fields f = fields_of(metric);
    struct slice data = SLICE_NULL;
    struct field v;

    p->name = SLICE_EMPTY;
    while (field_next(&f, &v)) {
        if (is_bytes(&v, 1)) p->name = v.bytes;
        if (!is_bytes(&v, 5) && !is_bytes(&v, 7)) continue;
        data = v.bytes;
        p->is_sum = v.number == 7;
    }
    if (f.failed) return false;
    if (data.ptr) return read_points(r, data, p);
    r->left_out++;
    return true;
}

static bool read_scope(struct otlp_reader *r, struct slice scope, struct otlp_point *p)
{
    struct fields f = fields_of(scope);
    struct field v;

    while (field_next(&f, &v))
        if (is_bytes(&v, 2) && !read_metric(r, v.bytes, p)) return false;
    return !f.failed;
}

static bool read_resource(struct otlp_reader *r, struct slice resource, struct otlp_point *p)
{
    struct fields f = fields_of(resource);
    struct field v;

    p->attributes_count = 0;
    p->crowded = false;
    while (field_next(&f, &v))
        if (is_bytes(&v, 1) && !read_attributes(v.bytes, 1, p)) return false;
    if (f.failed) return false;
    for (f = fields_of(resource); field_next(&f, &v);)
        if (is_bytes(&v, 2) && !read_scope(r, v.bytes, p)) return false;
    return true;
}

bool otlp_read(struct otlp_reader *r, struct slice metrics)
{
    struct fields f = fields_of(metrics.ptr ? metrics : SLICE_EMPTY);
    struct otlp_point p;
    struct field v;

    while (field_next(&f, &v))
        if (is_bytes(&v, 1) && !read_resource(r, v.bytes, &p)) return false;
    return !f.failed;
}
