// JSON lists of names, read where the column lies.
//
// A cell is walked byte by byte as RFC 8259 writes JSON. What is not plainly a list of names is
// left UNREAD: broken JSON, numbers that might not fit a double, what is nested deeper than
// MAX_DEPTH, members without a text as name, and keys or jobs of members that hold an escape (it
// may spell one that counts). The host reads such cells again and says what is wrong with them,
// if anything is.
//
// One warp a cell, and one lane of it walks: cells are long and unlike each other, so lanes on
// different cells would take turns at every branch. Many warps on a multiprocessor hide each
// other's loads; the longest cell bounds the time from below.

typedef unsigned char Byte;
typedef long long Int;

const int WARP = 32;
const int MAX_DEPTH = 64;  // one bit each; the host's own limit is higher
const int MAX_DIGITS = 64, MAX_EXPONENT_DIGITS = 2;  // below 1e163 in all

enum State { UNREAD = 0, EVERY_NAME = 1, NAMES_WITH_JOB = 2, EMPTY = 3 };
enum Key { OTHER, NAME, JOB };

struct Text {
    const Byte* start;
    const Byte* end;
    Int length;  // in UTF-8, escapes resolved
    bool escaped;
};

__device__ int utf8_length(int code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

__device__ Byte* write_utf8(Byte* to, int code) {
    const int more = utf8_length(code) - 1;
    const Byte marks[4] = {0x00, 0xC0, 0xE0, 0xF0};
    *to++ = Byte(marks[more] | code >> 6 * more);
    for (int i = more - 1; i >= 0; --i) *to++ = Byte(0x80 | (code >> 6 * i & 0x3F));
    return to;
}

__device__ const Byte* read_hex(const Byte* at, const Byte* end, int* code) {
    if (end - at < 4) return nullptr;
    *code = 0;
    for (int digit = 0; digit < 4; ++digit) {
        const Byte c = *at++;
        const Byte letter = c | 0x20;
        if (c >= '0' && c <= '9') *code = *code << 4 | (c - '0');
        else if (letter >= 'a' && letter <= 'f') *code = *code << 4 | (letter - 'a' + 10);
        else return nullptr;
    }
    return at;
}

// The character of an escape whose backslash has been passed; null where it spells none.
__device__ const Byte* read_escape(const Byte* at, const Byte* end, int* code) {
    if (at == end) return nullptr;
    const Byte c = *at++;
    switch (c) {
        case '"': case '\\': case '/': *code = c; return at;
        case 'b': *code = '\b'; return at;
        case 'f': *code = '\f'; return at;
        case 'n': *code = '\n'; return at;
        case 'r': *code = '\r'; return at;
        case 't': *code = '\t'; return at;
        case 'u': break;
        default: return nullptr;
    }
    at = read_hex(at, end, code);
    if (!at || *code < 0xD800 || *code > 0xDFFF) return at;
    int low = 0;  // the second half of a surrogate pair
    if (*code > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u') return nullptr;
    at = read_hex(at + 2, end, &low);
    if (!at || low < 0xDC00 || low > 0xDFFF) return nullptr;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return at;
}

// Past one character beyond ASCII; null where its bytes are not well-formed UTF-8
// (The Unicode Standard, table 3-7).
__device__ const Byte* skip_character(const Byte* at, const Byte* end) {
    const Byte first = *at++;
    Byte low = 0x80, high = 0xBF;  // bounds of the second byte
    int more;
    if (first >= 0xC2 && first <= 0xDF) more = 1;
    else if (first >= 0xE0 && first <= 0xEF) more = 2;
    else if (first >= 0xF0 && first <= 0xF4) more = 3;
    else return nullptr;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    if (end - at < more || *at < low || *at > high) return nullptr;
    for (int i = 1; i < more; ++i)
        if ((at[i] & 0xC0) != 0x80) return nullptr;
    return at + more;
}

// A string whose opening quote has been passed; null where it is none.
__device__ const Byte* read_text(const Byte* at, const Byte* end, Text* text) {
    text->start = at;
    text->length = 0;
    text->escaped = false;
    while (at < end) {
        const Byte c = *at;
        if (c == '"') {
            text->end = at;
            return at + 1;
        }
        if (c < 0x20) return nullptr;
        if (c == '\\') {
            int code = 0;
            at = read_escape(at + 1, end, &code);
            if (!at) return nullptr;
            text->escaped = true;
            text->length += utf8_length(code);
        } else if (c < 0x80) {
            ++at;
            ++text->length;
        } else {
            const Byte* next = skip_character(at, end);
            if (!next) return nullptr;
            text->length += next - at;
            at = next;
        }
    }
    return nullptr;
}

__device__ bool spells(const Text& text, const Byte* word, Int length) {
    if (text.length != length || text.escaped) return false;
    for (Int i = 0; i < length; ++i)
        if (text.start[i] != word[i]) return false;
    return true;
}

__device__ const Byte* skip_digits(const Byte* at, const Byte* end, int most) {
    for (; most > 0 && at < end && *at >= '0' && *at <= '9'; --most) ++at;
    return at;
}

// Past a number; null where it is none, or has more digits than surely fit a double.
__device__ const Byte* skip_number(const Byte* at, const Byte* end) {
    if (at < end && *at == '-') ++at;
    const Byte* digits = at;
    at = skip_digits(at, end, MAX_DIGITS);
    if (at == digits || (*digits == '0' && at - digits > 1)) return nullptr;
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end, MAX_DIGITS);
        if (at == digits) return nullptr;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        if (++at < end && (*at == '+' || *at == '-')) ++at;
        digits = at;
        at = skip_digits(at, end, MAX_EXPONENT_DIGITS);
        if (at == digits) return nullptr;
    }
    return at;  // a digit that follows is no JSON here, and makes the cell UNREAD
}

// One cell on its way from the first byte to the last.
struct Walk {
    const Byte* at;
    const Byte* end;
    const Byte* job;
    int job_length;  // negative where jobs do not count
    Int names, names_with_job;
    bool any_job;
    // The member that is open, and the key whose value comes next in it.
    Text name;
    bool named, has_job, has_the_job;
    Key key;
    // Where names are written; null while they are only counted.
    const Byte* chars;
    Int* starts;
    Int* ends;
    Int* lengths;
    bool every;  // every name, or those with the job

    __device__ void skip_space() {
        while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
    }

    __device__ bool pass(const char* word, int length) {
        if (end - at < length) return false;
        for (int i = 0; i < length; ++i)
            if (*at++ != Byte(word[i])) return false;
        return true;
    }

    __device__ void add(const Text& found, bool with_job, bool with_the_job) {
        if (starts && (every || with_the_job)) {
            const Int place = every ? names : names_with_job;
            starts[place] = found.start - chars;
            ends[place] = found.end - chars;
            lengths[place] = found.length;
        }
        ++names;
        names_with_job += with_the_job;
        any_job |= with_job;
    }

    __device__ bool read_key(int depth) {
        Text text;
        skip_space();
        if (at == end || *at != '"' || !(at = read_text(at + 1, end, &text))) return false;
        if (depth == 2) {
            if (text.escaped) return false;
            key = OTHER;
            if (spells(text, (const Byte*)"name", 4)) key = NAME;
            if (job_length >= 0 && spells(text, (const Byte*)"job", 3)) key = JOB;
        }
        skip_space();
        return at < end && *at++ == ':';
    }

    __device__ bool read_string(int depth) {
        Text text;
        if (!(at = read_text(at + 1, end, &text))) return false;
        if (depth == 1) add(text, false, false);
        if (depth == 2 && key == NAME) {
            name = text;
            named = true;
        }
        if (depth == 2 && key == JOB) {
            if (text.escaped) return false;
            has_job = text.length > 0;
            has_the_job = spells(text, job, job_length);
        }
        return true;
    }

    // A number, true, false or null.
    __device__ bool read_plain(int depth) {
        const bool null = *at == 'n';
        if (depth == 1) return false;
        if (depth == 2 && key == NAME) named = false;
        if (depth == 2 && key == JOB) {
            if (!null) return false;
            has_job = has_the_job = false;
        }
        if (null) return pass("null", 4);
        if (*at == 't') return pass("true", 4);
        if (*at == 'f') return pass("false", 5);
        return (at = skip_number(at, end)) != nullptr;
    }

    // A list or an object inside the cell's list; true where it may stand there.
    __device__ bool open(int depth, bool object) {
        if (depth == 1) {
            named = has_job = has_the_job = false;
            return object;
        }
        if (depth == 2 && key == NAME) named = false;
        return depth < MAX_DEPTH && !(depth == 2 && key == JOB);
    }

    __device__ State read_cell() {
        names = names_with_job = 0;
        any_job = false;
        skip_space();
        if (at == end) return EMPTY;
        if (*at != '[') {
            if (!pass("null", 4)) return UNREAD;
            skip_space();
            return at == end ? EMPTY : UNREAD;
        }
        unsigned long long objects = 0;  // of what is open, innermost in the lowest bit
        int depth = 0;
        for (;;) {
            skip_space();
            if (at == end) return UNREAD;
            if (*at == '[' || *at == '{') {
                const bool object = *at++ == '{';
                if (depth > 0 && !open(depth, object)) return UNREAD;
                objects = objects << 1 | object;
                ++depth;
                skip_space();
                if (at == end) return UNREAD;
                if (*at != (object ? '}' : ']')) {
                    if (object && !read_key(depth)) return UNREAD;
                    continue;
                }
            } else if (!(*at == '"' ? read_string(depth) : read_plain(depth))) {
                return UNREAD;
            }
            for (;;) {  // a value has ended: close what ends with it
                skip_space();
                if (depth == 0) {
                    if (at < end) return UNREAD;
                    return any_job ? NAMES_WITH_JOB : EVERY_NAME;
                }
                if (at == end) return UNREAD;
                const bool object = objects & 1;
                const Byte c = *at++;
                if (c == ',') {
                    if (object && !read_key(depth)) return UNREAD;
                    break;
                }
                if (c != (object ? '}' : ']')) return UNREAD;
                if (depth == 2) {  // only objects stand there
                    if (!named) return UNREAD;
                    add(name, has_job, has_the_job);
                }
                objects >>= 1;
                --depth;
            }
        }
    }
};

__device__ long long warp_of_thread() {
    return ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
}

// What each cell is (State), and how many names it gives.
extern "C" __global__ void count_names(
    const unsigned char* __restrict__ chars, const long long* __restrict__ offsets,
    const unsigned char* __restrict__ valid, int cells,
    const unsigned char* __restrict__ job, int job_length,
    unsigned char* __restrict__ states, long long* __restrict__ counts) {
    const Int cell = warp_of_thread();
    if (cell >= cells || threadIdx.x % WARP) return;
    State state = EMPTY;
    Int count = 0;
    if (valid[cell]) {
        Walk walk = {};
        walk.at = chars + offsets[cell];
        walk.end = chars + offsets[cell + 1];
        walk.job = job;
        walk.job_length = job_length;
        state = walk.read_cell();
        if (state == EVERY_NAME) count = walk.names;
        if (state == NAMES_WITH_JOB) count = walk.names_with_job;
    }
    states[cell] = (unsigned char)state;
    counts[cell] = count;
}

// Where the names of each cell stand in `chars`, and their lengths once escapes are resolved;
// those of a cell begin at its place in `firsts`.
extern "C" __global__ void find_names(
    const unsigned char* __restrict__ chars, const long long* __restrict__ offsets, int cells,
    const unsigned char* __restrict__ job, int job_length,
    const unsigned char* __restrict__ states, const long long* __restrict__ firsts,
    long long* __restrict__ starts, long long* __restrict__ ends,
    long long* __restrict__ lengths) {
    const Int cell = warp_of_thread();
    if (cell >= cells || threadIdx.x % WARP || firsts[cell] == firsts[cell + 1]) return;
    Walk walk = {};
    walk.at = chars + offsets[cell];
    walk.end = chars + offsets[cell + 1];
    walk.job = job;
    walk.job_length = job_length;
    walk.chars = chars;
    walk.starts = starts + firsts[cell];
    walk.ends = ends + firsts[cell];
    walk.lengths = lengths + firsts[cell];
    walk.every = states[cell] == EVERY_NAME;
    walk.read_cell();
}

// Each name, its escapes resolved, at its place in `out`; one thread a name.
extern "C" __global__ void gather_names(
    const unsigned char* __restrict__ chars, const long long* __restrict__ starts,
    const long long* __restrict__ ends, const long long* __restrict__ places, int names,
    unsigned char* __restrict__ out) {
    const Int name = (Int)blockIdx.x * blockDim.x + threadIdx.x;
    if (name >= names) return;
    const Byte* at = chars + starts[name];
    const Byte* end = chars + ends[name];
    Byte* to = out + places[name];
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        int code = 0;
        at = read_escape(at + 1, end, &code);
        to = write_utf8(to, code);
    }
}
