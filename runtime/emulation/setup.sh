#!/usr/bin/env bash
# setup.sh FOLDER: an emulated Raspberry Pi 4 and 5 on Debian or Ubuntu for x86-64, in one private folder of about 700 MB, in two minutes.
#
#   FOLDER/bin/pi4 COMMAND ...     runs it in the user land of a 64-bit Raspberry Pi OS (Debian for arm64: Python with venv and pip,
#   FOLDER/bin/pi5 COMMAND ...     a shell) on a Cortex-A72 or A76; /tmp, /work and the current folder are the host's
#   FOLDER/toolchain.cmake         cross-compiles with GCC
#   FOLDER/python                  an environment of that Python, with numpy, ai-edge-litert, Pillow and pytest
#   FOLDER/wheels                  what pip installed there
#   FOLDER/libicount.so            counts instructions: icount.c
#
# Changes nothing outside FOLDER; needs apt-get, dpkg, pip and gcc, and uses their configuration as it stands.
set -euo pipefail
shopt -s nullglob
[ $# = 1 ] || { echo "usage: setup.sh FOLDER" >&2; exit 2; }
for tool in apt-get dpkg gcc python3; do
  command -v $tool > /dev/null || { echo "setup.sh: $tool is needed, as on Debian or Ubuntu" >&2; exit 1; }
done
[ "$(dpkg --print-architecture)" = amd64 ] || { echo "setup.sh: this is for x86-64; on a Raspberry Pi nothing needs to be emulated" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
[[ $python != */* || $python = /* ]] || python=$PWD/$python
rm -rf "$1" && mkdir -p "$1" && cd "$1"
folder=$PWD

# Packages, with an apt state of our own that knows both architectures; of arm64 nothing counts as installed.
mkdir -p apt/state/lists/partial apt/cache/archives/partial host root/{usr/{bin,lib,sbin},proc,sys,dev,tmp,work,root,var/tmp} debs
touch apt/nothing-installed
cat > apt/apt.conf << EOF
APT::Architectures { "amd64"; "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "$folder/apt/state";
Dir::Cache "$folder/apt/cache";
EOF
export APT_CONFIG=$folder/apt/apt.conf
update() { for _ in 1 2 3; do apt-get -qq "$@" update && return; sleep 5; done; return 1; }  # a mirror may be changing
host=(-o Dir::State::status=/var/lib/dpkg/status)
guest=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status="$folder/apt/nothing-installed")
update "${host[@]}"
fetch() {  # fetch INTO "PACKAGE ..." OPTION ...: unpacks what is not installed, and all that it depends on
  local packages
  packages=$(apt-get "${@:3}" -s install $2 | awk '/^Inst /{print $2}')
  [ -z "$packages" ] || (cd debs && apt-get "${@:3}" -qq download $packages)
  for deb in debs/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$1"; rm "$deb"; done
}
fetch host "qemu-user proot g++-aarch64-linux-gnu" "${host[@]}"
for name in bin lib sbin; do ln -s usr/$name root/$name; done
fetch root "python3-venv dash coreutils libstdc++6" "${guest[@]}"
rm -rf apt debs

# A linker script of the cross compiler's libc names absolute paths.
libc=host/usr/aarch64-linux-gnu/lib/libc.so
[ ! -e $libc ] || sed -i "s# /usr/aarch64# $folder/host/usr/aarch64#g" $libc
version=$(basename root/usr/bin/python3.*[0-9])
[ -e root/usr/bin/python3 ] || ln -s "$version" root/usr/bin/python3
ln -sf dash root/usr/bin/sh

$python -m pip download --quiet --disable-pip-version-check --dest wheels --only-binary=:all: --python-version "${version#python}" \
  --implementation cp --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
  --platform manylinux_2_34_aarch64 --constraint "$here/../../requirements.txt" numpy ai-edge-litert pillow pytest

gcc -O2 -Wall -shared -fPIC -o libicount.so "$here/icount.c"

# What a Raspberry Pi says of its processor. LiteRT's cpuinfo reads it, and would crash on the host's.
processor() {  # processor FOLDER PART VARIANT REVISION KILOHERTZ L2 FEATURES
  local cpus=$1/cpus cpu
  mkdir -p "$cpus"
  for cpu in 0 1 2 3; do
    printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: %s\nCPU part\t: %s\nCPU revision\t: %s\n\n' \
      $cpu "$7" "$3" "$2" "$4" >> "$1/cpuinfo"
    mkdir -p "$cpus/cpu$cpu"/{cpufreq,topology,cache/index2}
    echo "$5" > "$cpus/cpu$cpu/cpufreq/cpuinfo_max_freq"
    echo 600000 > "$cpus/cpu$cpu/cpufreq/cpuinfo_min_freq"
    echo 0 > "$cpus/cpu$cpu/topology/physical_package_id"
    for name in topology/cluster_cpus_list topology/core_siblings_list topology/package_cpus_list cache/index2/shared_cpu_list; do
      echo 0-3 > "$cpus/cpu$cpu/$name"
    done
    echo 2 > "$cpus/cpu$cpu/cache/index2/level"
    echo "$6" > "$cpus/cpu$cpu/cache/index2/size"
  done
  for name in possible present online; do echo 0-3 > "$cpus/$name"; done
  echo 255 > "$cpus/kernel_max"
}
processor pi4 0xd08 0x0 3 1800000 1024K "fp asimd evtstrm crc32 cpuid"
processor pi5 0xd0b 0x4 1 2400000 512K "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"

mkdir bin
cat > bin/pi << 'EOF'
#!/bin/sh
# pi NAME CPU COMMAND ...; ICOUNT=FILE counts instructions (icount.c).
folder=$(cd "$(dirname "$0")/.." && pwd) name=$1 cpu=$2
shift 2
export LD_LIBRARY_PATH=$folder/host/usr/lib/x86_64-linux-gnu
export HOME=/root PATH=/usr/bin:/usr/sbin OPENBLAS_NUM_THREADS=1
unset OPENBLAS_CORETYPE PYTHONHOME VIRTUAL_ENV
tool() { if [ -x "$folder/host/usr/bin/$1" ]; then echo "$folder/host/usr/bin/$1"; else command -v "$1"; fi; }
proot=$(PATH=/usr/bin:/bin tool proot) qemu=$(PATH=/usr/bin:/bin tool qemu-aarch64)
exec "$proot" -q "$qemu -cpu $cpu${ICOUNT:+ -plugin $folder/libicount.so,out=$ICOUNT}" -r "$folder/root" -w "$PWD" -b /dev -b /proc -b /sys \
  -b "$folder/$name/cpuinfo:/proc/cpuinfo" -b "$folder/$name/cpus:/sys/devices/system/cpu" -b /tmp -b "$PWD" -b "$folder" "$@"
EOF
printf '#!/bin/sh\nexec "$(dirname "$0")/pi" pi4 cortex-a72 "$@"\n' > bin/pi4
printf '#!/bin/sh\nexec "$(dirname "$0")/pi" pi5 cortex-a76 "$@"\n' > bin/pi5
for name in g++ nm readelf; do
  printf '#!/bin/sh\nfolder=$(cd "$(dirname "$0")/.." && pwd)\nexport LD_LIBRARY_PATH=$folder/host/usr/lib/x86_64-linux-gnu\ntool=$folder/host/usr/bin/aarch64-linux-gnu-%s\n[ -x "$tool" ] || tool=aarch64-linux-gnu-%s\nexec "$tool" "$@"\n' \
    $name $name > bin/aarch64-$name
done
chmod +x bin/*
cat > toolchain.cmake << EOF
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER $folder/bin/aarch64-g++)
EOF
# An environment with all of the wheels, for tests and measurements.
PIP_NO_INDEX=1 PIP_FIND_LINKS=$folder/wheels
export PIP_NO_INDEX PIP_FIND_LINKS
bin/pi4 python3 -m venv python
bin/pi4 python/bin/pip install --quiet --disable-pip-version-check ai-edge-litert pillow pytest
touch ready
bin/pi4 python/bin/python -c 'import platform; print("an emulated", platform.machine(), "with Python", platform.python_version(), "is ready")'
