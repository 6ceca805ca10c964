// What libtorch can do on a GPU and torch-sys does not offer, for cuda.rs: streams, graphs, free memory, cuDNN's switches.
// A library of its own, since libtorch's CUDA part is loaded while a program runs, and only where there is a GPU.

#include <ATen/ATen.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace {

// Does some work; a C++ exception becomes its first line in `message`, of `capacity` bytes, and true.
template <typename Work>
bool fails(char* message, size_t capacity, Work work) {
    const char* what = "an unknown exception";
    try {
        work();
        return false;
    } catch (const c10::Error& error) {
        what = error.what_without_backtrace();
        std::strncpy(message, what, capacity - 1);
    } catch (const std::exception& error) {
        std::strncpy(message, error.what(), capacity - 1);
    } catch (...) {
        std::strncpy(message, what, capacity - 1);
    }
    message[capacity - 1] = '\0';
    return true;
}

// Streams that a thread is in. libtorch's pool gives its 32 streams in turn, whether they are in use or not.
std::mutex mutex;
std::set<std::pair<c10::DeviceIndex, c10::StreamId>> taken;

std::pair<c10::DeviceIndex, c10::StreamId> key(const c10::cuda::CUDAStream& stream) {
    return {stream.device_index(), stream.id()};
}

c10::cuda::CUDAStream take_stream(c10::DeviceIndex device) {
    const std::lock_guard<std::mutex> guard(mutex);
    constexpr int n_in_pool = 32;
    for (int i = 0; i < n_in_pool; ++i) {
        const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device);
        if (taken.insert(key(stream)).second) {
            return stream;
        }
    }
    TORCH_CHECK(false, n_in_pool, " trainings are at work on the device already");
}

void give_back(const c10::cuda::CUDAStream& stream) {
    const std::lock_guard<std::mutex> guard(mutex);
    taken.erase(key(stream));
}

// What a stream is given between diabolo_cuda_graph_begin and diabolo_cuda_graph_end.
struct Recording {
    at::cuda::CUDAGraph graph;
    // The memory it works in. Chosen here, since libtorch tells it only of a recording that has succeeded.
    const decltype(at::cuda::graph_pool_handle()) pool = at::cuda::graph_pool_handle();
};

// Held while a recording begins and while one is freed: up to 2.12 libtorch notes them in a set without a lock.
std::mutex noting;

// Cleans up where libtorch has not: after a recording that failed its allocators still ask the graph about every allocation,
// also when it is freed, and give no memory back.
void abandon(const Recording& recording, c10::DeviceIndex device) {
    char message[256];
    // Fails where libtorch has got that far itself.
    const bool is_over = fails(message, sizeof message, [&] {
        c10::cuda::CUDACachingAllocator::endAllocateToPool(device, recording.pool);
    });
    if (is_over) {
        return;
    }
    const auto host = at::getHostAllocator(at::kCUDA);
    fails(message, sizeof message, [&] { host->end_allocate_to_pool(recording.pool); });
    fails(message, sizeof message, [&] { host->release_pool(recording.pool); });
    fails(message, sizeof message, [&] {
        c10::cuda::CUDACachingAllocator::releasePool(device, recording.pool);
    });
}

}  // namespace

extern "C" {

// Makes a stream of libtorch's pool, which nobody else is in, the current one of this thread, after all that the one before
// it still has to do. `*previous` is for diabolo_cuda_leave, which gives it back.
bool diabolo_cuda_enter(int device, void** previous, char* message, size_t capacity) {
    return fails(message, capacity, [&] {
        const auto index = static_cast<c10::DeviceIndex>(device);
        const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream(index);
        current.synchronize();
        c10::cuda::setCurrentCUDAStream(take_stream(index));
        *previous = new c10::cuda::CUDAStream(current);
    });
}

// Waits for the current stream and makes the previous one current again.
bool diabolo_cuda_leave(void* previous, char* message, size_t capacity) {
    auto* stream = static_cast<c10::cuda::CUDAStream*>(previous);
    const bool failed = fails(message, capacity, [&] {
        const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream(stream->device_index());
        c10::cuda::setCurrentCUDAStream(*stream);
        // Given back at the end, since whoever has it then may record, and waiting for it would break that.
        const struct GivesBack {
            const c10::cuda::CUDAStream& stream;
            ~GivesBack() { give_back(stream); }
        } gives_back{current};
        current.synchronize();
    });
    delete stream;
    return failed;
}

// From here to diabolo_cuda_graph_end the current stream records what it is given instead of doing it.
bool diabolo_cuda_graph_begin(int device, void** graph, char* message, size_t capacity) {
    std::unique_ptr<Recording> recording;
    const bool failed = fails(message, capacity, [&] {
        const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
        recording = std::make_unique<Recording>();
        const std::lock_guard<std::mutex> one_at_a_time(noting);
        try {
            // Other threads may allocate memory meanwhile.
            recording->graph.capture_begin(recording->pool, cudaStreamCaptureModeThreadLocal);
        } catch (...) {
            abandon(*recording, static_cast<c10::DeviceIndex>(device));
            recording.reset();
            throw;
        }
    });
    *graph = recording.release();
    return failed;
}

// To be called for whatever diabolo_cuda_graph_begin has given, in the same thread, before it is freed.
bool diabolo_cuda_graph_end(int device, void* graph, char* message, size_t capacity) {
    auto* recording = static_cast<Recording*>(graph);
    return fails(message, capacity, [&] {
        const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
        try {
            recording->graph.capture_end();
        } catch (...) {
            abandon(*recording, static_cast<c10::DeviceIndex>(device));
            throw;
        }
    });
}

// Gives the recorded work to the current stream.
bool diabolo_cuda_graph_replay(int device, void* graph, char* message, size_t capacity) {
    return fails(message, capacity, [&] {
        const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
        static_cast<Recording*>(graph)->graph.replay();
    });
}

void diabolo_cuda_graph_free(void* graph) {
    char message[256];
    fails(message, sizeof message, [&] {
        const std::lock_guard<std::mutex> one_at_a_time(noting);
        delete static_cast<Recording*>(graph);
    });
}

// Free memory of a device in bytes, that which libtorch holds and does not use included.
bool diabolo_cuda_free_memory(int device, uint64_t* n_bytes, char* message, size_t capacity) {
    return fails(message, capacity, [&] {
        const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
        size_t free = 0;
        size_t total = 0;
        C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
        using c10::CachingAllocator::StatType;
        const auto statistics = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
        const auto of_all = static_cast<size_t>(StatType::AGGREGATE);
        const auto held = statistics.reserved_bytes[of_all].current - statistics.allocated_bytes[of_all].current;
        *n_bytes = free + static_cast<uint64_t>(held);
    });
}

// Whether 32-bit convolutions and matrix products may be computed with TF32's 10 bits of mantissa, and whether cuDNN may
// choose algorithms that add in no fixed order; for the whole process.
void diabolo_cuda_allow(bool tf32, bool any_order) {
    char message[256];
    fails(message, sizeof message, [&] {
        at::globalContext().setAllowTF32CuDNN(tf32);
        at::globalContext().setAllowTF32CuBLAS(tf32);
        at::globalContext().setDeterministicCuDNN(!any_order);
    });
}

// Writes the words at `source`, as many as `destination` has, which is a contiguous tensor of int64 on a GPU. From pinned
// memory, since a copy from any other waits for what the device still has to do.
bool diabolo_cuda_upload(void* destination, const void* source, char* message, size_t capacity) {
    return fails(message, capacity, [&] {
        auto& to = *static_cast<at::Tensor*>(destination);
        const auto words = at::empty(to.sizes(), at::TensorOptions().dtype(at::kLong).pinned_memory(true));
        std::memcpy(words.data_ptr(), source, words.nbytes());
        to.copy_(words, /*non_blocking=*/true);
    });
}

}  // extern "C"
