#!/bin/sh
# A stand-in of NVIDIA's repository for Debian 13, which cannot be reached from everywhere: packages of its names, of two
# branches, and a key. Their module is a few lines, but DKMS compiles it for the real kernel.
set -eu
folder=$1
export GNUPGHOME="$folder/gnupg" DEBIAN_FRONTEND=noninteractive
mkdir -p "$folder/packages" && cd "$folder"
install -d -m 700 "$GNUPGHOME"

# package VERSION NAME DEPENDS: what it holds is in ./NAME.
package() {
  mkdir -p "$2/DEBIAN"
  cat >"$2/DEBIAN/control" <<END
Package: $2
Version: $1
Architecture: amd64
Maintainer: Stand-in <stand-in@example.org>
Depends: $3
Description: stand-in
END
  dpkg-deb --root-owner-group --build "$2" packages >/dev/null
  rm -rf "$2"
}

for version in 580.95.05 595.71.05; do
  mkdir -p nvidia-driver-cuda/usr/bin nvidia-driver-cuda/usr/lib/x86_64-linux-gnu
  printf '#!/bin/sh\necho "No devices were found"; exit 6\n' >nvidia-driver-cuda/usr/bin/nvidia-smi
  chmod 755 nvidia-driver-cuda/usr/bin/nvidia-smi
  : >"nvidia-driver-cuda/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.$version"
  ln -s "libnvidia-ml.so.$version" nvidia-driver-cuda/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1
  package "$version-1" nvidia-driver-cuda "nvidia-kernel-open-dkms (= $version-1)"

  source=nvidia-kernel-open-dkms/usr/src/nvidia-$version
  mkdir -p "$source" nvidia-kernel-open-dkms/DEBIAN
  cat >"$source/dkms.conf" <<END
PACKAGE_NAME="nvidia"
PACKAGE_VERSION="$version"
BUILT_MODULE_NAME[0]="nvidia"
DEST_MODULE_LOCATION[0]="/updates"
AUTOINSTALL="yes"
END
  echo 'obj-m := nvidia.o' >"$source/Makefile"
  cat >"$source/nvidia.c" <<END
#include <linux/module.h>
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION("$version");
MODULE_DESCRIPTION("stand-in");
END
  cat >nvidia-kernel-open-dkms/DEBIAN/postinst <<END
#!/bin/sh
set -e
/usr/lib/dkms/common.postinst nvidia $version "" "" "\$2"
END
  chmod 755 nvidia-kernel-open-dkms/DEBIAN/postinst
  package "$version-1" nvidia-kernel-open-dkms dkms

  mkdir -p nvidia-persistenced/usr/lib/systemd/system
  cat >nvidia-persistenced/usr/lib/systemd/system/nvidia-persistenced.service <<END
[Unit]
Description=Stand-in
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
END
  package "$version-1" nvidia-persistenced "nvidia-driver-cuda (= $version-1)"
done

mkdir -p nvidia-driver-pinning-580/etc/apt/preferences.d
cat >nvidia-driver-pinning-580/etc/apt/preferences.d/nvidia-driver-pinning-580 <<END
Package: nvidia-*
Pin: version 580.*
Pin-Priority: 1000
END
package 580-1 nvidia-driver-pinning-580 dpkg

gpg --batch --quiet --passphrase '' --quick-gen-key 'Stand-in <stand-in@example.org>' rsa3072 sign never
gpg --armor --export >key.asc
gpg --with-colons --fingerprint | awk -F: '$1 == "fpr" { print $10; exit }' >fingerprint
cd packages
apt-ftparchive packages . >Packages
apt-ftparchive -o APT::FTPArchive::Release::Origin=Stand-in release . >Release
gpg --batch --quiet --yes --clearsign --output InRelease Release
chmod -R a+rX "$folder"
