/* What the arithmetic units do when nothing but registers is touched.
 *
 *     cc -O2 -march=native -pthread register_peak.c -o register_peak && ./register_peak THREADS
 *
 * Prints JSON: 1e9 operations a second, a multiplication and an addition being two, in fp32, bf16
 * and int8, as far as the processor has AVX-512 or AMX instructions for them; the faster counts.
 * There are more independent sums than the units have products under way, each a variable of its
 * own so that it stays in a register.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20000000L
#define SUMS 12
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define MOST_THREADS 256

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The empty asm hides from the compiler that every round does the same. */
#define HIDE(i) __asm__ volatile("" : "+v"(sum##i));
#define PROBE(name, sum_type, factor_type, product)                \
    static void *name(void *out) {                                 \
        factor_type a, b;                                          \
        sum_type EACH(DECLARE) total;                              \
        __builtin_memset(&a, 0, sizeof a);                         \
        __builtin_memset(&b, 0, sizeof b);                         \
        __builtin_memset(&total, 0, sizeof total);                 \
        EACH(START)                                                \
        for (long r = 0; r < ROUNDS; r++) { EACH(product) EACH(HIDE) } \
        EACH(JOIN)                                                 \
        *(sum_type *)out = total;                                  \
        return NULL;                                               \
    }
#define DECLARE(i) sum##i,
#define START(i) sum##i = total;
#define JOIN(i) total = total + sum##i;

/* Best of three: 1e9 operations a second when every thread does so many. */
static double rate(void *(*probe)(void *), double operations, int threads) {
    pthread_t ids[MOST_THREADS];
    void *out[MOST_THREADS];
    for (int i = 0; i < threads; i++) out[i] = aligned_alloc(64, 64);
    double best = 0;
    for (int repeat = 0; repeat < 3; repeat++) {
        double start = now();
        for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, probe, out[i]);
        for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
        double found = operations * threads / (now() - start) / 1e9;
        if (found > best) best = found;
    }
    for (int i = 0; i < threads; i++) free(out[i]);
    return best;
}

static double vectors(void *(*probe)(void *), int lanes, int threads) {
    return rate(probe, 2.0 * lanes * SUMS * ROUNDS, threads);
}

static double larger(double a, double b) { return a > b ? a : b; }

#ifdef __AVX512F__
#define FP32(i) sum##i = _mm512_fmadd_ps(a, b, sum##i);
PROBE(fp32, __m512, __m512, FP32)
#endif
#ifdef __AVX512BF16__
#define BF16(i) sum##i = _mm512_dpbf16_ps(sum##i, a, b);
PROBE(bf16, __m512, __m512bh, BF16)
#endif
#ifdef __AVX512VNNI__
#define INT8(i) sum##i = _mm512_dpbusd_epi32(sum##i, a, b);
PROBE(int8, __m512i, __m512i, INT8)
#endif

#ifdef __AMX_TILE__
#define TILE_ROUNDS 4000000L
#define TILE_DATA 18          /* the state that the kernel gives only when asked */
#define ASK_FOR_STATE 0x1023  /* ARCH_REQ_XCOMP_PERM */

static int has_tiles(void) { return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0; }

/* Eight tiles of 16 rows of 64 bytes, all zero: four sums, two factors for either side. */
static void start_tiles(void) {
    struct {
        unsigned char palette, first_row, reserved[14];
        unsigned short row_bytes[16];
        unsigned char rows[16];
    } form = {.palette = 1};
    for (int i = 0; i < 8; i++) form.row_bytes[i] = 64, form.rows[i] = 16;
    __asm__ volatile("" : : "r"(&form) : "memory"); /* gcc takes only 8 of its bytes for read */
    _tile_loadconfig(&form);
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
}

#define TILE_PROBE(name, product)                                                     \
    static void *name(void *out) {                                                    \
        start_tiles();                                                                \
        for (long r = 0; r < TILE_ROUNDS; r++) {                                      \
            product(0, 4, 6); product(1, 4, 7); product(2, 5, 6); product(3, 5, 7);   \
        }                                                                             \
        _tile_release();                                                              \
        return out;                                                                   \
    }

/* A product of two tiles is one of 16 rows by 16 columns over as many pairs as a row holds. */
static double tiles(void *(*probe)(void *), int pairs, int threads) {
    return has_tiles() ? rate(probe, 2.0 * 16 * 16 * pairs * 4 * TILE_ROUNDS, threads) : 0;
}
#endif
#ifdef __AMX_BF16__
TILE_PROBE(bf16_tiles, _tile_dpbf16ps)
#endif
#ifdef __AMX_INT8__
TILE_PROBE(int8_tiles, _tile_dpbssd)
#endif

int main(int count, char **words) {
    int threads = count > 1 ? atoi(words[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS) return 2;
    double best_fp32 = 0, best_bf16 = 0, best_int8 = 0;
#ifdef __AVX512F__
    best_fp32 = vectors(fp32, 16, threads);
#endif
#ifdef __AVX512BF16__
    best_bf16 = vectors(bf16, 32, threads);
#endif
#ifdef __AVX512VNNI__
    best_int8 = vectors(int8, 64, threads);
#endif
#ifdef __AMX_BF16__
    best_bf16 = larger(best_bf16, tiles(bf16_tiles, 32, threads));
#endif
#ifdef __AMX_INT8__
    best_int8 = larger(best_int8, tiles(int8_tiles, 64, threads));
#endif
    const char *between = "{";
    if (best_fp32) printf("%s\"fp32\": %.1f", between, best_fp32), between = ", ";
    if (best_bf16) printf("%s\"bf16\": %.1f", between, best_bf16), between = ", ";
    if (best_int8) printf("%s\"int8\": %.1f", between, best_int8), between = ", ";
    printf("%s}\n", between[0] == '{' ? "{" : "");
    return 0;
}
