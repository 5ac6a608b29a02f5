#!/bin/sh
# A host that looks like one with two H100s whose driver runs: a folder that stands for its root, a nvidia-smi that says what was
# recorded, a libcuda of a few lines, and a module that modinfo reads.
set -eu
root=$1
kernel=$(uname -r)
version=550.54.14
for bus in ad ae; do
  device="$root/sys/bus/pci/devices/0000:$bus:00.0"
  mkdir -p "$device"
  echo 0x10de >"$device/vendor"
  echo 0x030200 >"$device/class"
  echo 0x2321 >"$device/device"
done
mkdir -p "$root/proc/driver/nvidia" "$root/usr/lib/x86_64-linux-gnu" "$root/boot" "$root/venv" \
  "$root/lib/modules/$kernel/build" "$root/lib/modules/$kernel/updates/dkms" "$root/source"
echo "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  $version  Release Build  (dvs-builder@U16-I2-C05-15-4)" \
  >"$root/proc/driver/nvidia/version"
: >"$root/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.$version"
ln -sf "libnvidia-ml.so.$version" "$root/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
: >"$root/boot/vmlinuz-$kernel"
: >"$root/lib/modules/$kernel/build/Makefile"

cd "$root/source"
cat >nvidia.c <<END
#include <linux/module.h>
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION("$version");
END
echo 'obj-m := nvidia.o' >Makefile
make -s -C /lib/modules/*-amd64/build M="$PWD" modules >/dev/null
cp nvidia.ko "$root/lib/modules/$kernel/updates/dkms/"

cat >libcuda.c <<END
int cuInit(unsigned flags) { return flags; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
  const char *from = "NVIDIA H100 NVL";
  while ((*name++ = *from++)) {}
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 9 : 0; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "none"; return 0; }
END
# DKMS brought a compiler, but neither its plain name nor a C library to build with.
for compiler in /usr/bin/gcc-[0-9]*; do break; done
"$compiler" -shared -fPIC -nostdlib -o /usr/local/lib/libcuda.so.1 -Wl,-soname,libcuda.so.1 libcuda.c
ldconfig
cat >/usr/local/bin/nvidia-smi <<END
#!/bin/sh
cat $root/smi.txt
exit "\$(cat $root/smi.code)"
END
chmod 755 /usr/local/bin/nvidia-smi
