/* http/json.c: see json.h. What a body nests is counted before the parser sees it: jansson recurses, and the threads'
 * stacks are small. Texts of errors never quote the body: it may hold a password, and the text goes to the log.
 * Threads: no state. */
#include "http/json.h"

#include "http/server.h"

#include <stdarg.h>
#include <stdio.h>

/* Whether brackets nest deeper than we let the parser follow; brackets inside strings do not count. */
static bool too_deep(struct slice text)
{
    int depth = 0;
    bool in_string = false;

    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX) return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

json_t *json_parse(struct slice text, struct err *err)
{
    json_error_t e;

    if (text.len == 0) {
        err_set(err, 400, "The request has no body; JSON is expected");
        return NULL;
    }
    if (too_deep(text)) {
        err_set(err, 400, "The JSON body nests deeper than %d levels", JSON_DEPTH_MAX);
        return NULL;
    }
    json_t *value = json_loadb((const char *)text.ptr, text.len, JSON_DECODE_ANY, &e);
    if (!value) {
        char *quoted = strstr(e.text, " near ");
        if (quoted) *quoted = '\0'; /* the text goes to the log, and what stands there may be a password */
        err_set(err, 400, "The body is not valid JSON: %s (line %d, column %d)", e.text, e.line, e.column);
    }
    return value;
}

void reply_json(struct http_reply *reply, int status, json_t *value)
{
    reply->status = status;
    if (!value) return;
    free(reply->body);
    reply->body = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    reply->body_len = reply->body ? strlen(reply->body) : 0;
    reply->content_type = "application/json";
    json_decref(value);
}

void reply_error(struct http_reply *reply, int status, const char *format, ...)
{
    char *message;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&message, format, ap) < 0) message = xstrdup("out of memory");
    va_end(ap);
    /* Texts may quote what a client sent, which need not be UTF-8. */
    json_t *text = json_string(message);
    reply_json(reply, status,
               json_pack("{s:i, s:o}", "error_code", status, "message", text ? text : json_string("(not UTF-8)")));
    free(reply->cause);
    reply->cause = message;
}
