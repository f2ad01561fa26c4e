#include "conv/shift.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tenfold {
namespace {

index floor_div(index a, index b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}
index ceil_div(index a, index b) {
  return -floor_div(-a, b);
}

// Finds the stretch of the table that is an arithmetic sequence.
void find_inside(ShiftPhase& phase, index first, index step, index size) {
  const auto count = static_cast<index>(phase.table.size());
  phase.first = first;
  phase.inside_begin = std::clamp(ceil_div(-first, step), index{0}, count);
  phase.inside_end = std::clamp(floor_div(size - 1 - first, step) + 1, phase.inside_begin, count);
}

}  // namespace

ShiftAxis shift_forward(const Axis& axis, Border border) {
  ShiftAxis shift;
  shift.grid = shift.target = axis.output;
  shift.source = axis.size;
  shift.step = axis.stride;
  shift.reach = axis.dilation * (axis.kernel - 1) / axis.stride;
  ShiftPartAxis part;
  part.count = axis.output;
  std::vector<index> residues;
  for (index k = 0; k < axis.kernel; ++k) {
    const index residue = k * axis.dilation % axis.stride;
    auto at = std::find(residues.begin(), residues.end(), residue);
    if (at == residues.end()) {
      residues.push_back(residue);
      at = residues.end() - 1;
      ShiftPhase phase;
      for (index u = 0; u < shift.grid + shift.reach; ++u) {
        // A look may reach behind the padding where a phase is shorter than others; nothing reads it there.
        const index p = u * axis.stride + residue;
        phase.table.push_back(p < axis.padded() ? border_source(p - axis.pad_before, axis.size, border) : -1);
      }
      find_inside(phase, residue - axis.pad_before, axis.stride, axis.size);
      shift.phases.push_back(std::move(phase));
    }
    part.taps.push_back({k, at - residues.begin(), k * axis.dilation / axis.stride});
  }
  shift.parts.push_back(std::move(part));
  return shift;
}

ShiftAxis shift_adjoint(const Axis& axis, bool padded) {
  // Padded position p = q * stride + r receives y[q - e] through every tap with k * dilation = e * stride +
  // r.
  const index low = padded ? 0 : axis.pad_before, high = padded ? axis.padded() : axis.pad_before + axis.size;
  ShiftAxis shift;
  shift.source = axis.output;
  shift.target = high - low;
  shift.reach = axis.dilation * (axis.kernel - 1) / axis.stride;
  std::vector<index> residues;
  for (index k = 0; k < axis.kernel; ++k) {
    const index residue = k * axis.dilation % axis.stride;
    auto at = std::find(residues.begin(), residues.end(), residue);
    if (at == residues.end()) {
      residues.push_back(residue);
      at = residues.end() - 1;
      ShiftPartAxis part;
      part.begin = ceil_div(low - residue, axis.stride);
      part.count = std::max<index>(0, ceil_div(high - residue, axis.stride) - part.begin);
      part.start = part.begin * axis.stride + residue - low;
      part.step = axis.stride;
      shift.parts.push_back(std::move(part));
    }
    shift.parts[static_cast<std::size_t>(at - residues.begin())].taps.push_back(
        {k, 0, shift.reach - k * axis.dilation / axis.stride});
  }
  shift.complete = static_cast<index>(residues.size()) == axis.stride;
  index first = 0, last = 0;
  bool any = false;
  for (const ShiftPartAxis& part : shift.parts) {
    if (part.count == 0) continue;
    first = any ? std::min(first, part.begin) : part.begin;
    last = any ? std::max(last, part.begin + part.count) : part.begin + part.count;
    any = true;
  }
  shift.grid = last - first;
  ShiftPhase phase;
  for (ShiftPartAxis& part : shift.parts) part.begin -= first;
  for (index u = 0; u < shift.grid + shift.reach; ++u) {
    const index o = u + first - shift.reach;
    phase.table.push_back(o >= 0 && o < axis.output ? o : -1);
  }
  find_inside(phase, first - shift.reach, 1, axis.output);
  shift.phases.push_back(std::move(phase));
  return shift;
}

ShiftAxis without_dilation(const ShiftAxis& axis) {
  if (axis.parts.size() != 1 || axis.phases.size() != 1 || axis.step != 1) return axis;
  const ShiftPartAxis& whole = axis.parts[0];
  index dilation = 0;
  for (const ShiftTap& tap : whole.taps) dilation = std::gcd(dilation, tap.shift);
  if (dilation < 2 || whole.begin != 0 || whole.step != 1) return axis;

  ShiftAxis split = axis;
  split.grid = (axis.grid + dilation - 1) / dilation;
  split.reach = axis.reach / dilation;
  split.step = dilation;
  split.phases.clear(), split.parts.clear();
  const std::vector<index>& table = axis.phases[0].table;
  for (index f = 0; f < dilation; ++f) {
    ShiftPhase phase;
    for (index u = f; u < (split.grid + split.reach) * dilation; u += dilation) {
      const auto at = static_cast<std::size_t>(u);
      phase.table.push_back(at < table.size() ? table[at] : -1);
    }
    find_inside(phase, axis.phases[0].first + f, dilation, axis.source);
    split.phases.push_back(std::move(phase));
    ShiftPartAxis part;
    part.count = std::max<index>(0, (whole.count - f + dilation - 1) / dilation);
    part.start = whole.start + f, part.step = dilation;
    for (const ShiftTap& tap : whole.taps) part.taps.push_back({tap.tap, f, tap.shift / dilation});
    split.parts.push_back(std::move(part));
  }
  return split;
}

}  // namespace tenfold
