# Debian packages, by what needs them. Sourced by examples/quickstart and tests/run.
packages_build=(ccache cmake g++ libcli11-dev libdeflate-dev libfmt-dev libisal-dev libpugixml-dev libssh-dev libssl-dev libtomlplusplus-dev libvirt-dev
  ninja-build nlohmann-json3-dev pkg-config)
packages_run=(skopeo xorriso qemu-utils qemu-system-x86 passt libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
packages_guest=(busybox-static fakeroot fdisk e2fsprogs grub-common grub-pc-bin openssl)
packages_demo=(docker-registry python3)
packages_package=(debhelper dpkg-dev fakeroot)
packages_test=(lintian mmdebstrap doctest-dev zlib1g-dev gnupg xfsprogs python3-pytest openssh-server openssh-client dnsmasq-base iproute2 procps hyperfine
  python3-venv python3-libvirt python3-magic python3-paramiko python3-jsonschema iptables ebtables
  libvirt-daemon-config-nwfilter mandoc groff-base zsh fish apparmor checkpolicy
  qemu-system-arm qemu-system-mips qemu-system-misc qemu-system-ppc qemu-system-sparc ovmf mtools dosfstools grub-efi-amd64-bin qemu-efi-aarch64 swtpm swtpm-tools
  python3-configobj python3-jinja2 python3-jsonpatch python3-netifaces python3-oauthlib python3-requests python3-yaml)
