#!/usr/bin/env bash
# Installs everything hpcsim needs on Debian 12 or Ubuntu 24.04 (as root or with sudo), without a compiler:
# MPI, PETSc and parallel HDF5 as system packages, a virtual environment with fixed versions above them, and hpcsim
# itself, run from this directory. Does nothing when nothing has changed, so it may be called before every use.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/hpcsim-setup.sha256
mapfile -t packages <"$root/scripts/apt-packages.txt"

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

fingerprint() {
  { cat "$root"/scripts/{setup.sh,apt-packages.txt,requirements.txt}; echo "$root"; } | sha256sum | cut -d' ' -f1
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"
  elif command -v sudo >/dev/null; then sudo -- "$@"
  else die "root rights are needed once, for: apt-get install ${missing[*]}"
  fi
}

install_packages() {
  command -v apt-get >/dev/null || die "no apt-get here. Without it, 'pip install .' in any environment gives hpcsim without PETSc and parallel HDF5"
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} == 0 ]] && return
  say "installing ${#missing[@]} system packages"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  as_root "${apt[@]}" update </dev/null >/dev/null
  as_root "${apt[@]}" -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

make_environment() {
  /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer is needed; this is $(/usr/bin/python3 -V)"
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "creating the virtual environment"
    /usr/bin/python3 -m venv --clear --system-site-packages "$venv"
  fi
  say "installing the fixed Python packages"
  # --no-deps: a dependency on h5py would otherwise bring the serial wheel. --only-binary: nothing is compiled.
  "$venv/bin/python" -m pip install -q --no-deps --no-compile --only-binary :all: --no-input --retries 5 \
    --disable-pip-version-check -r "$root/scripts/requirements.txt" </dev/null
}

link_hpcsim() {
  local site petsc=(/usr/lib/petscdir/petsc*/*-real/lib/python3/dist-packages)
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  [[ -d ${petsc[-1]} ]] || die "petsc4py is installed but not under /usr/lib/petscdir"
  echo "${petsc[-1]}" >"$site/debian-petsc4py.pth"
  echo "$root" >"$site/hpcsim.pth"
  # Through sh, because a shebang line may hold neither blanks nor more than 127 characters.
  cat >"$venv/bin/hpcsim.new" <<EOF
#!/bin/sh
'''exec' "$venv/bin/python" "\$0" "\$@"
' '''
import sys

from hpcsim.cli.main import main

sys.exit(main())
EOF
  chmod +x "$venv/bin/hpcsim.new"
  mv -f "$venv/bin/hpcsim.new" "$venv/bin/hpcsim"
}

# One setup at a time in this directory; the second finds everything done.
exec 9<"$root"
flock 9

if [[ -x $venv/bin/hpcsim && -z $(missing_packages) && $(cat "$stamp" 2>/dev/null) == "$(fingerprint)" ]] && "$venv/bin/python" -c ''; then
  say "up to date"
  exit 0
fi
install_packages
make_environment
link_hpcsim
"$venv/bin/hpcsim" --version >/dev/null
fingerprint >"$stamp"
say "done; '. scripts/env.sh' puts hpcsim on the path of this shell"
