// Lets a CPU-only build of torch carry fake tensors that say they are on CUDA or MPS, through backward passes too:
// hooks that say there is such an accelerator (ZEUXIS_PRETEND names it), and device guards that do nothing.
#include <cstdlib>
#include <cstring>

#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

static bool pretended(const char* kind) {
  const char* said = std::getenv("ZEUXIS_PRETEND");
  return said && !std::strcmp(said, kind);
}

namespace at {

struct CUDAHooks : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return pretended("cuda"); }
  bool isBuilt() const override { return pretended("cuda"); }
  bool isAvailable() const override { return pretended("cuda"); }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
};

struct MPSHooks : MPSHooksInterface {
  MPSHooks() = default;
  explicit MPSHooks(MPSHooksArgs) {}
  void init() const override {}
  bool hasMPS() const override { return pretended("mps"); }
  bool isBuilt() const override { return pretended("mps"); }
  bool isAvailable() const override { return pretended("mps"); }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
};

REGISTER_CUDA_HOOKS(CUDAHooks);
REGISTER_MPS_HOOKS(MPSHooks);

}  // namespace at

using namespace c10;
using namespace c10::impl;

// One device and one stream, whose events have happened at once.
template <DeviceType D>
struct Guard : NoOpDeviceGuardImpl<D> {
  Device exchangeDevice(Device) const override { return Device(D, 0); }
  Device getDevice() const override { return Device(D, 0); }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, Device(D, 0)); }
  Stream exchangeStream(Stream) const noexcept override { return Stream(Stream::DEFAULT, Device(D, 0)); }
  void record(void** event, const Stream&, const DeviceIndex, const EventFlag) const override { *event = nullptr; }
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void recordDataPtrOnStream(const DataPtr&, const Stream&) const override {}
};

static DeviceGuardImplRegistrar cuda(DeviceType::CUDA, new Guard<DeviceType::CUDA>());
static DeviceGuardImplRegistrar mps(DeviceType::MPS, new Guard<DeviceType::MPS>());
