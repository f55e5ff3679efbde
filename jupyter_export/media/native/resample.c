/* Bicubic resampling of a rectangle of one 8-bit plane.
 *
 * Bit for bit what Pillow's `Image.resize(size, BICUBIC, box)` gives (src/libImaging/Resample.c)
 * when asked to work across first and then down: fixed-point filters, rounded to 8 bits after each
 * pass, anti-aliasing where it shrinks. What differs is how it runs: eight samples at once,
 * straight from a frame's plane into another's. Loaded with ctypes by ../resample.py, which takes
 * Pillow where this was not compiled.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PRECISION (32 - 8 - 2) /* bits of a coefficient's fraction, Pillow's PRECISION_BITS */

/* The taps of one axis: result i is the sum over k < taps of source[first[i] + k] * of[k][i]. */
typedef struct {
    int taps;
    int length; /* of a row of coefficients: a multiple of eight, not less than the results */
    int32_t *first;
    int32_t *of;
    int even, even_end; /* results of which each is as the one before it, a sample further */
} Filter;

/* Keys' cubic with a = -0.5. */
static double cubic(double x) {
    const double a = -0.5;
    if (x < 0.0) x = -x;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static int make_filter(Filter *filter, int in, float from, float to, int out) {
    double scale = (double)(to - from) / out;
    double stretch = scale < 1.0 ? 1.0 : scale; /* an anti-aliasing filter where it shrinks */
    double support = 2.0 * stretch;
    int most = (int)support + (support > (int)support ? 1 : 0);
    most = most * 2 + 1;
    filter->length = (out + 7) / 8 * 8;
    filter->first = calloc((size_t)filter->length, sizeof(int32_t));
    filter->of = calloc((size_t)most * filter->length, sizeof(int32_t));
    double *weights = malloc((size_t)most * sizeof(double));
    if (!filter->first || !filter->of || !weights) {
        free(weights);
        return -1;
    }
    int widest = 0, before = 0, run = 0;
    for (int i = 0; i < out; i++) {
        double centre = from + (i + 0.5) * scale, sum = 0.0, inverse = 1.0 / stretch;
        int first = (int)(centre - support + 0.5);
        if (first < 0) first = 0;
        int count = (int)(centre + support + 0.5);
        if (count > in) count = in;
        count -= first;
        filter->first[i] = first;
        /* Where it does not scale, all but the edges have one and the same coefficients. */
        if (scale == 1.0 && i && first == filter->first[i - 1] + 1 && count == before) {
            for (int k = 0; k < count; k++) {
                int32_t *of = filter->of + (size_t)k * filter->length + i;
                of[0] = of[-1];
            }
            if (i + 1 - run > filter->even_end - filter->even) {
                filter->even = run;
                filter->even_end = i + 1;
            }
            continue;
        }
        before = count;
        run = i;
        for (int k = 0; k < count; k++) {
            weights[k] = cubic((k + first - centre + 0.5) * inverse);
            sum += weights[k];
        }
        int last = 0;
        for (int k = 0; k < count; k++) {
            double weight = sum != 0.0 ? weights[k] / sum : weights[k];
            double fixed = weight * (1 << PRECISION);
            int32_t whole = weight < 0 ? (int)(-0.5 + fixed) : (int)(0.5 + fixed);
            filter->of[(size_t)k * filter->length + i] = whole;
            if (whole) last = k + 1;
        }
        if (last > widest) widest = last;
    }
    for (int i = out; i < filter->length; i++) filter->first[i] = filter->first[out - 1];
    filter->taps = widest;
    free(weights);
    return 0;
}

static void free_filter(Filter *filter) {
    free(filter->first);
    free(filter->of);
}

static inline uint8_t clipped(int32_t sum) {
    sum >>= PRECISION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void across_plain(const uint8_t *line, uint8_t *into, int out, const Filter *f) {
    for (int i = 0; i < out; i++) {
        int32_t sum = 1 << (PRECISION - 1);
        for (int k = 0; k < f->taps; k++)
            sum += line[f->first[i] + k] * f->of[(size_t)k * f->length + i];
        into[i] = clipped(sum);
    }
}

static void down_plain(const uint8_t *const *lines, const int32_t *of, int taps, uint8_t *into,
                       int out) {
    for (int i = 0; i < out; i++) {
        int32_t sum = 1 << (PRECISION - 1);
        for (int k = 0; k < taps; k++) sum += lines[k][i] * of[k];
        into[i] = clipped(sum);
    }
}

#if defined(__x86_64__)
/* Sixteen-bit multiplications are twice as fast as those of 32 bits, and sum two taps at once. So
 * a coefficient is split into c = (high << SPLIT) + low, and the parts of two taps go together.
 * The sum is the same: where it would not fit in 32 bits, neither would the undivided one. */
#define SPLIT 11
#define LOW ((1 << SPLIT) - 1)

typedef struct {
    int pairs;       /* of taps, rounded up */
    int32_t *high;   /* of[pair][i], the first tap's part in the lower half */
    int32_t *low;
    int32_t *shuffle; /* for result i, the first pair of its samples, from the group's on */
    uint8_t *near;   /* whether the samples of each four of eight results lie within sixteen */
    int left, right; /* the results from `left` to `right` need none of these: they are even */
} Pairs;

static inline int32_t packed(int32_t first, int32_t second) {
    return (int32_t)(((uint32_t)first & 0xffff) | (uint32_t)second << 16);
}

static int make_pairs(Pairs *pairs, const Filter *f) {
    int length = f->length;
    pairs->pairs = (f->taps + 1) / 2;
    pairs->high = malloc((size_t)pairs->pairs * length * sizeof(int32_t));
    pairs->low = malloc((size_t)pairs->pairs * length * sizeof(int32_t));
    pairs->shuffle = malloc((size_t)length * sizeof(int32_t));
    pairs->near = malloc((size_t)length / 8);
    if (!pairs->high || !pairs->low || !pairs->shuffle || !pairs->near) return -1;
    pairs->left = (f->even + 7) / 8 * 8;
    pairs->right = f->even_end / 8 * 8;
    if (pairs->right <= pairs->left) pairs->left = pairs->right = length;
    for (int p = 0; p < pairs->pairs; p++) {
        const int32_t *of = f->of + (size_t)2 * p * length;
        const int32_t *next = of + length;
        int last = 2 * p + 1 == f->taps;
        for (int i = 0; i < length; i++) {
            if (i == pairs->left) i = pairs->right;
            if (i == length) break;
            int32_t a = of[i], b = last ? 0 : next[i];
            pairs->high[(size_t)p * length + i] = packed(a >> SPLIT, b >> SPLIT);
            pairs->low[(size_t)p * length + i] = packed(a & LOW, b & LOW);
        }
    }
    for (int i = 0; i < length; i += 4) {
        if (i == pairs->left) i = pairs->right;
        if (i == length) break;
        int from = f->first[i], near = f->first[i + 3] - from + f->taps <= 16;
        for (int j = i; j < i + 4; j++) {
            /* The bytes of two samples; where the top bit is set, a shuffle gives zero. */
            uint32_t at = (uint32_t)(f->first[j] - from);
            pairs->shuffle[j] = (int32_t)(at | 0x8000 | (at + 1) << 16 | 0x80000000);
        }
        pairs->near[i / 8] = (uint8_t)(i % 8 ? pairs->near[i / 8] && near : near);
    }
    return 0;
}

static void free_pairs(Pairs *pairs) {
    free(pairs->high);
    free(pairs->low);
    free(pairs->shuffle);
    free(pairs->near);
}

/* Eight sums, as their samples' high and low parts make them, without their fraction. */
__attribute__((target("avx2"))) static inline __m256i whole(__m256i high, __m256i low) {
    const __m256i half = _mm256_set1_epi32(1 << (PRECISION - 1));
    __m256i sums = _mm256_add_epi32(_mm256_slli_epi32(high, SPLIT), low);
    return _mm256_srai_epi32(_mm256_add_epi32(sums, half), PRECISION);
}

/* Eight results at once. The samples of four mostly lie within sixteen, where a shuffle finds them.
 * `line` must be readable for sixteen samples from each of them; `into` takes f->length results, of
 * which those from `begin` to `end` are made. `count` is that of the pairs, which a compiler that
 * knows it unrolls. */
__attribute__((target("avx2"), always_inline)) static inline void across_pairs(
    const uint8_t *restrict line, uint8_t *restrict into, const Filter *f, const Pairs *pairs,
    ptrdiff_t begin, ptrdiff_t end, int count) {
    const __m256i two = _mm256_set1_epi32(0x00020002);
    const __m256i gathered = _mm256_broadcastsi128_si256(
        _mm_setr_epi32((int)0x80018000, (int)0x80058004, (int)0x80098008, (int)0x800d800c));
    const int32_t *first = f->first, *shuffle = pairs->shuffle;
    const uint8_t *near = pairs->near;
    ptrdiff_t length = f->length;
    for (ptrdiff_t i = begin; i < end; i += 8) {
        __m256i high = _mm256_setzero_si256(), low = _mm256_setzero_si256();
        const int32_t *highs = pairs->high + i, *lows = pairs->low + i;
        if (near[i / 8]) {
            __m256i samples = _mm256_inserti128_si256(
                _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(line + first[i]))),
                _mm_loadu_si128((const __m128i *)(line + first[i + 4])), 1);
            __m256i from = _mm256_loadu_si256((const __m256i *)(shuffle + i));
            for (int p = 0; p < count; p++) {
                __m256i both = _mm256_shuffle_epi8(samples, from);
                high = _mm256_add_epi32(
                    high, _mm256_madd_epi16(both, _mm256_loadu_si256((const __m256i *)highs)));
                low = _mm256_add_epi32(
                    low, _mm256_madd_epi16(both, _mm256_loadu_si256((const __m256i *)lows)));
                from = _mm256_add_epi32(from, two);
                highs += length;
                lows += length;
            }
        } else {
            __m256i places = _mm256_loadu_si256((const __m256i *)(first + i));
            for (int p = 0; p < count; p++) {
                __m256i four = _mm256_i32gather_epi32((const int *)(line + 2 * p), places, 1);
                __m256i both = _mm256_shuffle_epi8(four, gathered);
                high = _mm256_add_epi32(
                    high, _mm256_madd_epi16(both, _mm256_loadu_si256((const __m256i *)highs)));
                low = _mm256_add_epi32(
                    low, _mm256_madd_epi16(both, _mm256_loadu_si256((const __m256i *)lows)));
                highs += length;
                lows += length;
            }
        }
        __m256i sums = whole(high, low);
        __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        _mm_storel_epi64((__m128i *)(into + i), _mm_packus_epi16(words, words));
    }
}

/* Thirty-two results at once; the lines must be readable up to the next multiple of that. `taps` a
 * compiler that knows it unrolls. */
__attribute__((target("avx2"), always_inline)) static inline void down_pairs(
    const uint8_t *const *lines, const int32_t *of, uint8_t *into, int out, int taps) {
    const __m256i zero = _mm256_setzero_si256();
    for (int i = 0; i < out; i += 32) {
        __m256i high[4] = {zero, zero, zero, zero}, low[4] = {zero, zero, zero, zero};
        for (int k = 0; k < taps; k += 2) {
            int second = k + 1 < taps ? k + 1 : k;
            int32_t b = k + 1 < taps ? of[k + 1] : 0;
            __m256i highs = _mm256_set1_epi32(packed(of[k] >> SPLIT, b >> SPLIT));
            __m256i lows = _mm256_set1_epi32(packed(of[k] & LOW, b & LOW));
            __m256i upper = _mm256_loadu_si256((const __m256i *)(lines[k] + i));
            __m256i lower = _mm256_loadu_si256((const __m256i *)(lines[second] + i));
            __m256i left = _mm256_unpacklo_epi8(upper, lower);
            __m256i right = _mm256_unpackhi_epi8(upper, lower);
            __m256i both[4] = {
                _mm256_unpacklo_epi8(left, zero),
                _mm256_unpackhi_epi8(left, zero),
                _mm256_unpacklo_epi8(right, zero),
                _mm256_unpackhi_epi8(right, zero),
            };
            for (int q = 0; q < 4; q++) {
                high[q] = _mm256_add_epi32(high[q], _mm256_madd_epi16(both[q], highs));
                low[q] = _mm256_add_epi32(low[q], _mm256_madd_epi16(both[q], lows));
            }
        }
        /* Packing, as unpacking, stays within halves: the order comes out right. */
        __m256i bytes = _mm256_packus_epi16(
            _mm256_packs_epi32(whole(high[0], low[0]), whole(high[1], low[1])),
            _mm256_packs_epi32(whole(high[2], low[2]), whole(high[3], low[3])));
        if (i + 32 <= out) {
            _mm256_storeu_si256((__m256i *)(into + i), bytes);
        } else {
            uint8_t rest[32];
            _mm256_storeu_si256((__m256i *)rest, bytes);
            memcpy(into + i, rest, (size_t)(out - i));
        }
    }
}

__attribute__((target("avx2"))) static void down_avx2(const uint8_t *const *lines,
                                                      const int32_t *of, int taps, uint8_t *into,
                                                      int out) {
    if (taps == 1 && *of == 1 << PRECISION)
        memcpy(into, *lines, (size_t)out);
    else if (taps == 4)
        down_pairs(lines, of, into, out, 4);
    else
        down_pairs(lines, of, into, out, taps);
}

/* The even results of a line are what that many lines would give of which each begins a sample
 * later. */
__attribute__((target("avx2"))) static void across_even(const uint8_t *line, uint8_t *into,
                                                        const Filter *f, int begin, int end) {
    const uint8_t *lines[5]; /* a filter that does not scale has no more taps */
    int32_t of[5];
    int taps = 0;
    for (int k = 0; k < f->taps && k < 5; k++) {
        int32_t weight = f->of[(size_t)k * f->length + begin];
        if (!weight) continue;
        lines[taps] = line + f->first[begin] + k;
        of[taps++] = weight;
    }
    down_avx2(lines, of, taps, into + begin, end - begin);
}

__attribute__((target("avx2"))) static void across_avx2(const uint8_t *line, uint8_t *into,
                                                        const Filter *f, const Pairs *pairs) {
    if (pairs->left < pairs->right) across_even(line, into, f, pairs->left, pairs->right);
    for (int side = 0; side < 2; side++) {
        int begin = side ? pairs->right : 0, end = side ? f->length : pairs->left;
        switch (pairs->pairs) {
        case 2: across_pairs(line, into, f, pairs, begin, end, 2); break;
        case 3: across_pairs(line, into, f, pairs, begin, end, 3); break;
        case 4: across_pairs(line, into, f, pairs, begin, end, 4); break;
        default: across_pairs(line, into, f, pairs, begin, end, pairs->pairs);
        }
    }
}
#endif

/* Samples `begin` to `end` of a line with `left` samples before its `width` own ones. */
static void take(const uint8_t *from, int width, int left, int begin, int end, uint8_t *line) {
    int first = begin > left ? begin : left, last = end < left + width ? end : left + width;
    if (begin < left) memset(line + begin, from[0], (size_t)((end < left ? end : left) - begin));
    if (first < last) memcpy(line + first, from + first - left, (size_t)(last - first));
    if (last < first) last = first;
    if (last < end) memset(line + last, from[width - 1], (size_t)(end - last));
}

/* 0, or -1 where there is no memory.
 *
 * `samples` (height lines of width) are seen as the middle of a plane of padded_width by
 * padded_height, `left` and `top` in from its corner, whose other samples are the nearest of them.
 * The rectangle (x0, y0) to (x1, y1) is in that plane.
 */
int resample(const uint8_t *samples, ptrdiff_t line_size, int width, int height,
             int left, int top, int padded_width, int padded_height,
             float x0, float y0, float x1, float y1,
             uint8_t *target, ptrdiff_t target_line_size, int out_width, int out_height) {
    Filter across = {0}, down = {0};
    uint8_t *ring = NULL, *line = NULL;
    const uint8_t **lines = NULL;
    int32_t *of = NULL;
    int failed = -1;
#if defined(__x86_64__)
    Pairs pairs = {0};
    int avx2 = __builtin_cpu_supports("avx2");
#endif
    if (make_filter(&across, padded_width, x0, x1, out_width)) goto end;
    if (make_filter(&down, padded_height, y0, y1, out_height)) goto end;
#if defined(__x86_64__)
    if (avx2 && make_pairs(&pairs, &across)) goto end;
#endif
    /* The lines that the second pass still needs are kept in a ring. */
    ptrdiff_t stride = (out_width + 63) / 64 * 64;
    ring = malloc((size_t)down.taps * stride);
    line = calloc((size_t)padded_width + across.taps + 32, 1);
    lines = malloc((size_t)down.taps * sizeof(*lines));
    of = malloc((size_t)down.taps * sizeof(*of));
    if (!ring || !line || !lines || !of) goto end;
    int begin = across.first[0], end = across.first[out_width - 1] + across.taps;
    if (end > padded_width) end = padded_width;
    int done = down.first[0]; /* lines before this one went through the first pass */
    for (int j = 0; j < out_height; j++) {
        int taps = 0;
        for (int k = 0; k < down.taps; k++) {
            int32_t weight = down.of[(size_t)k * down.length + j];
            if (!weight) continue;
            int row = down.first[j] + k;
            for (; done <= row; done++) {
                int y = done - top;
                y = y < 0 ? 0 : y >= height ? height - 1 : y;
                uint8_t *into = ring + done % down.taps * stride;
                take(samples + y * line_size, width, left, begin, end, line);
#if defined(__x86_64__)
                if (avx2) {
                    across_avx2(line, into, &across, &pairs);
                    continue;
                }
#endif
                across_plain(line, into, out_width, &across);
            }
            lines[taps] = ring + row % down.taps * stride;
            of[taps++] = weight;
        }
        uint8_t *into = target + j * target_line_size;
#if defined(__x86_64__)
        if (avx2) {
            down_avx2(lines, of, taps, into, out_width);
            continue;
        }
#endif
        down_plain(lines, of, taps, into, out_width);
    }
    failed = 0;
end:
#if defined(__x86_64__)
    free_pairs(&pairs);
#endif
    free_filter(&across);
    free_filter(&down);
    free(ring);
    free(line);
    free(lines);
    free(of);
    return failed;
}
