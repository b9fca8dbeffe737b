/* What the arithmetic units do when nothing but registers is touched.
 *
 *     cc -O2 -march=native -pthread register_peak.c -o register_peak && ./register_peak THREADS
 *
 * Prints JSON: 1e9 operations a second, a multiplication and an addition being two, in fp32, bf16
 * and int8, as far as the processor has AVX-512 instructions for them. There are more independent
 * sums than the units have products under way, each a variable of its own so that it stays in a
 * register.
 */
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static int printed = 0;

static void run(const char *name, void *(*probe)(void *), int lanes, int threads) {
    pthread_t ids[MOST_THREADS];
    void *out[MOST_THREADS];
    for (int i = 0; i < threads; i++) out[i] = aligned_alloc(64, 64);
    double best = 0;
    for (int repeat = 0; repeat < 3; repeat++) {
        double start = now();
        for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, probe, out[i]);
        for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
        double rate = 2.0 * lanes * SUMS * ROUNDS * threads / (now() - start) / 1e9;
        if (rate > best) best = rate;
    }
    printf("%s\"%s\": %.1f", printed++ ? ", " : "", name, best);
    for (int i = 0; i < threads; i++) free(out[i]);
}

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

int main(int count, char **words) {
    int threads = count > 1 ? atoi(words[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS) return 2;
    printf("{");
#ifdef __AVX512F__
    run("fp32", fp32, 16, threads);
#endif
#ifdef __AVX512BF16__
    run("bf16", bf16, 32, threads);
#endif
#ifdef __AVX512VNNI__
    run("int8", int8, 64, threads);
#endif
    printf("}\n");
    return 0;
}
