// Writes down which operations libtorch is asked for in this thread, for operations_tests.rs, which compiles it.

#include <ATen/record_function.h>

#include <memory>
#include <string>

namespace {

std::string names;
at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;

std::unique_ptr<at::ObserverContext> begins(const at::RecordFunction& function) {
    names += function.name();
    names += '\n';
    return nullptr;
}

}  // namespace

extern "C" void operations_begin() {
    names.clear();
    auto callback = at::RecordFunctionCallback(begins).scopes({at::RecordScope::FUNCTION});
    handle = at::addThreadLocalCallback(std::move(callback));
}

// All names since the beginning, each with a new line, those of operations that others call included.
extern "C" const char* operations_end() {
    at::removeCallback(handle);
    return names.c_str();
}
