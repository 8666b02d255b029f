// Whether operations are recorded, per thread.
#pragma once

namespace rstorch {

bool grad_enabled();

// While it lives, nothing is recorded on this thread: `const NoGrad no_grad;`
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

// While it lives, recording is on, also inside a NoGrad.
class EnableGrad {
 public:
  EnableGrad();
  ~EnableGrad();
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace rstorch
