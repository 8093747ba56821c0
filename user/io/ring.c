/* SPDX-License-Identifier: MIT */
#include "io/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* First page of the mapping; the data area of @size bytes follows. Indices only grow. */
struct ring_hdr {
	_Alignas(64) _Atomic uint64_t head; /* written by the producer */
	_Atomic uint64_t lost;
	_Alignas(64) _Atomic uint64_t tail; /* written by the consumer */
	_Atomic uint32_t want_wake;
};

enum { HDR_BYTES = 4096 };

struct osh_ring {
	struct ring_hdr *hdr;
	char *data;
	uint64_t
		size; /* of the data area, from the creator's argument or fstat, never from shared memory */
	uint64_t
		at; /* own index: producer's head or consumer's tail; the shared copy only tells the peer */
	uint64_t kicked; /* producer's index at the last kick */
	int mem_fd, event_fd;
};

static int map(struct osh_ring *ring)
{
	char *p = mmap(NULL, HDR_BYTES + ring->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       ring->mem_fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	ring->hdr = (struct ring_hdr *)(void *)p;
	ring->data = p + HDR_BYTES;
	return 0;
}

struct osh_ring *osh_ring_free(struct osh_ring *ring)
{
	if (!ring)
		return NULL;
	if (ring->hdr)
		munmap(ring->hdr, HDR_BYTES + ring->size);
	osh_close_ptr(&ring->mem_fd);
	osh_close_ptr(&ring->event_fd);
	free(ring);
	return NULL;
}

static bool size_is_sane(uint64_t bytes)
{
	return bytes >= 4096 && bytes <= (64u << 20) && (bytes & (bytes - 1)) == 0;
}

int osh_ring_create(size_t bytes, struct osh_ring **ret_ring)
{
	struct osh_ring *ring;
	int r;

	if (!size_is_sane(bytes))
		return -EINVAL;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->size = bytes;
	ring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->mem_fd = memfd_create("openshell-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ring->event_fd < 0 || ring->mem_fd < 0 ||
	    ftruncate(ring->mem_fd, (off_t)(HDR_BYTES + bytes)) < 0 ||
	    fcntl(ring->mem_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = -errno;
		osh_ring_free(ring);
		return r;
	}
	r = map(ring);
	if (r < 0) {
		osh_ring_free(ring);
		return r;
	}
	atomic_store(&ring->hdr->want_wake, 1);
	*ret_ring = ring;
	return 0;
}

int osh_ring_mem_fd(const struct osh_ring *ring)
{
	return ring->mem_fd;
}

int osh_ring_event_fd(const struct osh_ring *ring)
{
	return ring->event_fd;
}

int osh_ring_attach(int take_mem_fd, int take_event_fd, struct osh_ring **ret_ring)
{
	struct osh_ring *ring = calloc(1, sizeof(*ring));
	struct stat st;
	int r = 0;

	if (!ring) {
		osh_close_ptr(&take_mem_fd);
		osh_close_ptr(&take_event_fd);
		return -ENOMEM;
	}
	ring->mem_fd = take_mem_fd;
	ring->event_fd = take_event_fd;
	if (fstat(ring->mem_fd, &st) < 0)
		r = -errno;
	else if (st.st_size < HDR_BYTES || !size_is_sane((uint64_t)st.st_size - HDR_BYTES))
		r = -EBADMSG;
	else
		ring->size = (uint64_t)st.st_size - HDR_BYTES;
	if (r == 0)
		r = map(ring);
	if (r < 0) {
		osh_ring_free(ring);
		return r;
	}
	*ret_ring = ring;
	return 0;
}

static void copy_in(struct osh_ring *ring, uint64_t at, const void *src, size_t n)
{
	size_t off = (size_t)(at & (ring->size - 1)), first = OSH_MIN(n, (size_t)ring->size - off);

	memcpy(ring->data + off, src, first);
	memcpy(ring->data, (const char *)src + first, n - first);
}

static void copy_out(const struct osh_ring *ring, uint64_t at, void *dst, size_t n)
{
	size_t off = (size_t)(at & (ring->size - 1)), first = OSH_MIN(n, (size_t)ring->size - off);

	memcpy(dst, ring->data + off, first);
	memcpy((char *)dst + first, ring->data, n - first);
}

/* Each record is a 32-bit length and its bytes, padded to 8. */
static uint64_t record_bytes(uint64_t n)
{
	return (n + 4 + 7) & ~(uint64_t)7;
}

bool osh_ring_put(struct osh_ring *ring, const void *record, size_t n)
{
	uint64_t head = ring->at;
	uint64_t tail = atomic_load_explicit(&ring->hdr->tail, memory_order_acquire);
	uint32_t len = (uint32_t)n;

	if (n > OSH_RING_MAX_RECORD || head - tail > ring->size ||
	    record_bytes(n) > ring->size - (head - tail)) {
		atomic_fetch_add_explicit(&ring->hdr->lost, 1, memory_order_relaxed);
		return false;
	}
	copy_in(ring, head, &len, sizeof(len));
	copy_in(ring, head + 4, record, n);
	ring->at = head + record_bytes(n);
	atomic_store_explicit(&ring->hdr->head, ring->at, memory_order_release);
	return true;
}

void osh_ring_kick(struct osh_ring *ring)
{
	uint64_t one = 1;

	if (ring->kicked == ring->at)
		return;
	ring->kicked = ring->at;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_exchange(&ring->hdr->want_wake, 0) && write(ring->event_fd, &one, 8) < 0) {
		/* the counter is saturated: the consumer is awake already */
	}
}

size_t osh_ring_unkicked(const struct osh_ring *ring)
{
	return (size_t)(ring->at - ring->kicked);
}

int osh_ring_get(struct osh_ring *ring, void *buf, size_t *ret_n)
{
	uint64_t tail = ring->at;
	uint64_t head = atomic_load_explicit(&ring->hdr->head, memory_order_acquire);
	uint64_t count;
	uint32_t len;

	if (head == tail) {
		/* ask to be woken, then look again: the producer may have put in between */
		if (read(ring->event_fd, &count, 8) < 0) {
			/* nothing to clear */
		}
		atomic_store(&ring->hdr->want_wake, 1);
		atomic_thread_fence(memory_order_seq_cst);
		head = atomic_load_explicit(&ring->hdr->head, memory_order_acquire);
		if (head == tail)
			return -EAGAIN;
	}
	if (head - tail > ring->size || head - tail < 8)
		return -EBADMSG;
	copy_out(ring, tail, &len, sizeof(len));
	if (len > OSH_RING_MAX_RECORD || record_bytes(len) > head - tail)
		return -EBADMSG;
	copy_out(ring, tail + 4, buf, len);
	ring->at = tail + record_bytes(len);
	atomic_store_explicit(&ring->hdr->tail, ring->at, memory_order_release);
	*ret_n = len;
	return 0;
}

uint64_t osh_ring_lost(const struct osh_ring *ring)
{
	return atomic_load_explicit(&ring->hdr->lost, memory_order_relaxed);
}
