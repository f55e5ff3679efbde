/* A stand-in for NVIDIA's driver at its own border: libcuda.so.1 and libnvidia-encode.so.1 in one.
 *
 * FFmpeg's nvenc.c loads it as it would load the real ones. It encodes: every picture becomes an
 * IDR picture of H.264 whose macroblocks are I_PCM, so what comes out is, sample for sample, what
 * went in. Sides must be multiples of 16. The folder FAKE_NVIDIA steers it, for all processes:
 *
 *   limit      how many sessions can be open at once (a digit); none: 8
 *   delay      microseconds per picture
 *   gone       exists: the device has gone
 *   vanish     after so many pictures, of all processes together, the device goes
 *   none       exists: a GPU without NVENC, such as an H200
 *   full       exists: the GPU's memory is full
 *   refuse     exists: settings are refused
 *   hang       exists: the driver does not come back
 *
 * Names, numbers and the order of fields are those of the Video Codec SDK 13 (nvEncodeAPI.h). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *place(const char *name)
{
    static __thread char path[4096];
    const char *folder = getenv("FAKE_NVIDIA");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/nonexistent", name);
    return path;
}

static int is_there(const char *name) { return access(place(name), F_OK) == 0; }

static long number(const char *name, long otherwise)
{
    FILE *file = fopen(place(name), "r");
    if (!file) return otherwise;
    if (fscanf(file, "%ld", &otherwise) != 1) otherwise = 0;
    fclose(file);
    return otherwise;
}

/* --- CUDA ------------------------------------------------------------------------------------ */

enum { OUT_OF_MEMORY = 2, NO_DEVICE = 100 };

int cuInit(unsigned flags)
{
    while (is_there("hang")) sleep(1);
    return is_there("gone") ? NO_DEVICE : 0;
}
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "Stand-in"); return 0; }
int cuDeviceComputeCapability(int *major, int *minor, int d) { *major = 8; *minor = 9; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = 1; return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuCtxCreate_v2(void **context, unsigned flags, int device)
{
    *context = (void *)1;
    return is_there("full") ? OUT_OF_MEMORY : 0;
}
int cuCtxPopCurrent_v2(void **context) { *context = (void *)1; return 0; }
int cuCtxGetCurrent(void **context) { *context = (void *)1; return 0; }
int cuGetErrorName(int error, const char **text)
{
    *text = error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_OUT_OF_MEMORY";
    return 0;
}
int cuGetErrorString(int error, const char **text)
{
    *text = error == NO_DEVICE ? "no CUDA-capable device is detected" : "out of memory";
    return 0;
}
#define NOTHING(name) int name(void) { return 0; }
NOTHING(cuCtxSetLimit) NOTHING(cuCtxPushCurrent_v2) NOTHING(cuCtxDestroy_v2)
NOTHING(cuMemAlloc_v2) NOTHING(cuMemAllocPitch_v2) NOTHING(cuMemAllocManaged)
NOTHING(cuMemsetD8Async) NOTHING(cuMemFree_v2) NOTHING(cuMemcpy) NOTHING(cuMemcpyAsync)
NOTHING(cuMemcpy2D_v2) NOTHING(cuMemcpy2DAsync_v2) NOTHING(cuMemcpyHtoD_v2)
NOTHING(cuMemcpyHtoDAsync_v2) NOTHING(cuMemcpyDtoH_v2) NOTHING(cuMemcpyDtoHAsync_v2)
NOTHING(cuMemcpyDtoD_v2) NOTHING(cuMemcpyDtoDAsync_v2) NOTHING(cuCtxGetDevice)
NOTHING(cuDevicePrimaryCtxRetain) NOTHING(cuDevicePrimaryCtxRelease)
NOTHING(cuDevicePrimaryCtxSetFlags) NOTHING(cuDevicePrimaryCtxGetState)
NOTHING(cuDevicePrimaryCtxReset) NOTHING(cuStreamCreate) NOTHING(cuStreamQuery)
NOTHING(cuStreamSynchronize) NOTHING(cuStreamDestroy_v2) NOTHING(cuStreamAddCallback)
NOTHING(cuStreamWaitEvent) NOTHING(cuEventCreate) NOTHING(cuEventDestroy_v2)
NOTHING(cuEventSynchronize) NOTHING(cuEventQuery) NOTHING(cuEventRecord) NOTHING(cuLaunchKernel)
NOTHING(cuLinkCreate) NOTHING(cuLinkAddData) NOTHING(cuLinkComplete) NOTHING(cuLinkDestroy)
NOTHING(cuModuleLoadData) NOTHING(cuModuleUnload) NOTHING(cuModuleGetFunction)
NOTHING(cuModuleGetGlobal) NOTHING(cuTexObjectCreate) NOTHING(cuTexObjectDestroy)
NOTHING(cuGLGetDevices_v2) NOTHING(cuGraphicsGLRegisterImage)
NOTHING(cuGraphicsUnregisterResource) NOTHING(cuGraphicsMapResources)
NOTHING(cuGraphicsUnmapResources) NOTHING(cuGraphicsSubResourceGetMappedArray)
NOTHING(cuGraphicsResourceGetMappedPointer_v2) NOTHING(cuArrayCreate_v2)
NOTHING(cuArray3DCreate_v2) NOTHING(cuArrayDestroy)

/* --- Bits of H.264 (ITU-T H.264, 7.3) --------------------------------------------------------- */

typedef struct { uint8_t *data; size_t size; int used; uint32_t zeros; uint8_t part; } Bits;

static void byte_out(Bits *b, uint8_t value)
{
    if (b->zeros >= 2 && value <= 3) { b->data[b->size++] = 3; b->zeros = 0; }
    b->data[b->size++] = value;
    b->zeros = value ? 0 : b->zeros + 1;
}

static void bits(Bits *b, uint32_t value, int count)
{
    while (count--) {
        b->part = b->part << 1 | (value >> count & 1);
        if (++b->used == 8) { byte_out(b, b->part); b->used = 0; b->part = 0; }
    }
}

static void ue(Bits *b, uint32_t value)
{
    int length = 32 - __builtin_clz(++value);
    bits(b, 0, length - 1);
    bits(b, value, length);
}

static void align(Bits *b, int first) { bits(b, first, 1); while (b->used) bits(b, 0, 1); }

static void start(Bits *b, uint8_t head)
{
    memcpy(b->data + b->size, "\0\0\0\1", 4);
    b->size += 4;
    b->data[b->size++] = head;
    b->zeros = 0;
}

static void headers(Bits *b, int width, int height)
{
    start(b, 0x67);
    bits(b, 66, 8); bits(b, 0xC0, 8); bits(b, 51, 8); /* baseline, level 5.1 */
    ue(b, 0); ue(b, 0); ue(b, 2); ue(b, 1); bits(b, 0, 1);
    ue(b, width / 16 - 1); ue(b, height / 16 - 1);
    bits(b, 1, 1); bits(b, 1, 1); bits(b, 0, 1); bits(b, 0, 1);
    align(b, 1);
    start(b, 0x68);
    ue(b, 0); ue(b, 0); bits(b, 0, 2); ue(b, 0); ue(b, 0); ue(b, 0); bits(b, 0, 3);
    ue(b, 0); ue(b, 0); ue(b, 0); bits(b, 0, 3);
    align(b, 1);
}

static void picture(Bits *b, const uint8_t *yuv, int pitch, int width, int height, int number)
{
    const uint8_t *v = yuv + (size_t)pitch * height; /* YV12: V before U */
    const uint8_t *u = v + (size_t)(pitch / 2) * (height / 2);
    start(b, 0x65);
    ue(b, 0); ue(b, 7); ue(b, 0); bits(b, 0, 4); ue(b, number & 1); /* idr_pic_id alternates */
    bits(b, 0, 2); ue(b, 0);
    for (int y = 0; y < height; y += 16)
        for (int x = 0; x < width; x += 16) {
            ue(b, 25);
            while (b->used) bits(b, 0, 1);
            for (int i = 0; i < 256; i++) byte_out(b, yuv[(y + i / 16) * pitch + x + i % 16]);
            for (int i = 0; i < 64; i++) byte_out(b, u[(y / 2 + i / 8) * (pitch / 2) + x / 2 + i % 8]);
            for (int i = 0; i < 64; i++) byte_out(b, v[(y / 2 + i / 8) * (pitch / 2) + x / 2 + i % 8]);
        }
    align(b, 1);
}

/* --- NVENC ------------------------------------------------------------------------------------ */

enum { UNSUPPORTED_DEVICE = 2, DEVICE_NOT_EXIST = 5, INVALID_PARAM = 8, SESSIONS = 10,
       UNSUPPORTED_PARAM = 12, EOS = 8, IDR = 3 };

typedef struct { uint32_t a; uint16_t b, c; uint8_t d[8]; } GUID;
static const GUID H264 = {0x6bc82762, 0x4e63, 0x4ca4,
                          {0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf}};
typedef struct { int slot, width, height, count; } Session;
typedef struct { uint8_t *data; int pitch; } Input;
typedef struct { Bits bits; uint64_t time, duration; int number; } Output;

static int open_session(void *params, void **session)
{
    if (is_there("none")) return UNSUPPORTED_DEVICE;
    if (is_there("gone")) return DEVICE_NOT_EXIST;
    for (int i = 0; i < number("limit", 8); i++) {
        char name[32];
        snprintf(name, sizeof name, "session.%d", i);
        int slot = open(place(name), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        if (slot >= 0 && flock(slot, LOCK_EX | LOCK_NB) == 0) {
            Session *s = calloc(1, sizeof *s);
            s->slot = slot;
            *session = s;
            return 0;
        }
        if (slot >= 0) close(slot);
    }
    close(open(place("refused"), O_CREAT | O_RDWR | O_CLOEXEC, 0600)); /* for the test to see */
    return SESSIONS;
}

static int destroy(Session *s) { close(s->slot); free(s); return 0; }
static int guid_count(void *s, uint32_t *count) { *count = 1; return 0; }
static int guids(void *s, GUID *list, uint32_t size, uint32_t *count)
{
    list[0] = H264;
    *count = 1;
    return 0;
}
static int caps(void *s, GUID codec, void *query, int *value) { *value = 4096; return 0; }
static int preset(void *s, GUID codec, GUID name, int tuning, uint8_t *config)
{
    *(int32_t *)(config + 32) = 1; /* frameIntervalP: no B frames */
    return 0;
}
static int initialize(Session *s, uint8_t *params)
{
    s->width = *(uint32_t *)(params + 36);
    s->height = *(uint32_t *)(params + 40);
    if (is_there("refuse")) return INVALID_PARAM;
    return s->width % 16 || s->height % 16 ? UNSUPPORTED_PARAM : 0;
}
static int create_input(Session *s, uint8_t *params)
{
    Input *in = calloc(1, sizeof *in);
    in->pitch = s->width;
    in->data = malloc((size_t)s->width * s->height * 3 / 2);
    *(void **)(params + 24) = in;
    return 0;
}
static int destroy_input(void *s, Input *in) { free(in->data); free(in); return 0; }
static int lock_input(void *s, uint8_t *params)
{
    Input *in = *(Input **)(params + 8);
    *(void **)(params + 16) = in->data;
    *(uint32_t *)(params + 24) = in->pitch;
    return 0;
}
static int create_output(Session *s, uint8_t *params)
{
    Output *out = calloc(1, sizeof *out);
    out->bits.data = malloc((size_t)s->width * s->height * 4 + 4096);
    *(void **)(params + 16) = out;
    return 0;
}
static int destroy_output(void *s, Output *out) { free(out->bits.data); free(out); return 0; }
static int encode(Session *s, uint8_t *params)
{
    if (*(uint32_t *)(params + 16) & EOS) return 0;
    int seen = open(place("pictures"), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    struct stat info = {0};
    if (seen >= 0 && write(seen, ".", 1) == 1) fstat(seen, &info);
    close(seen);
    if (info.st_size > number("vanish", 1L << 60))
        close(open(place("gone"), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    if (is_there("gone")) return DEVICE_NOT_EXIST;
    usleep(number("delay", 0));
    Input *in = *(Input **)(params + 40);
    Output *out = *(Output **)(params + 48);
    out->time = *(uint64_t *)(params + 24);
    out->duration = *(uint64_t *)(params + 32);
    out->number = s->count;
    out->bits = (Bits){.data = out->bits.data};
    picture(&out->bits, in->data, in->pitch, s->width, s->height, s->count++);
    return 0;
}
static int lock_output(void *s, uint8_t *params)
{
    Output *out = *(Output **)(params + 8);
    *(uint32_t *)(params + 24) = out->number;
    *(uint32_t *)(params + 32) = 1;
    *(uint32_t *)(params + 36) = out->bits.size;
    *(uint64_t *)(params + 40) = out->time;
    *(uint64_t *)(params + 48) = out->duration;
    *(void **)(params + 56) = out->bits.data;
    *(uint32_t *)(params + 64) = IDR;
    *(uint32_t *)(params + 68) = 1; /* a whole frame */
    return 0;
}
static int sequence(Session *s, uint8_t *params)
{
    Bits b = {.data = *(uint8_t **)(params + 16)};
    headers(&b, s->width, s->height);
    **(uint32_t **)(params + 24) = b.size;
    return 0;
}
static int fine(void) { return 0; }
static const char *last_error(void *s) { return "the stand-in says so"; }

int NvEncodeAPIGetMaxSupportedVersion(uint32_t *version) { *version = 99 << 4; return 0; }

int NvEncodeAPICreateInstance(void *list)
{
    void **call = (void **)((uint8_t *)list + 8); /* in the order of NV_ENCODE_API_FUNCTION_LIST */
    for (int i = 0; i < 44; i++) call[i] = fine;
    call[1] = guid_count;
    call[4] = guids;
    call[7] = caps;
    call[11] = initialize;
    call[12] = create_input;
    call[13] = destroy_input;
    call[14] = create_output;
    call[15] = destroy_output;
    call[16] = encode;
    call[17] = lock_output;
    call[19] = lock_input;
    call[22] = sequence;
    call[27] = destroy;
    call[29] = open_session;
    call[37] = last_error;
    call[39] = preset;
    return 0;
}
