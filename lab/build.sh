#!/bin/sh
# Build the Windows test lab ("winlab"): Wine 10.0 of Debian trixie with NT security for tokens, files,
# named objects and the registry.  Runs on Debian 12, as root (it installs build packages).
#
#   build.sh DIR [WORK]     DIR gets the lab, WORK (default: DIR.build) is scratch space
#
# No chroot is needed: the Windows side (PE) comes from Debian's libwine package, and what needs the C
# library of trixie, or is patched, is compiled here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lab=${1:?usage: build.sh DIR [WORK]}; mkdir -p "$lab"; lab=$(cd "$lab" && pwd)
work=${2:-$lab.build}; mkdir -p "$work"; work=$(cd "$work" && pwd)
version=10.0~repack-6
step() { echo "== $* ($(date +%T))"; }

step build packages
need="gcc make flex bison autoconf gettext perl pkgconf dpkg-dev xz-utils attr gcc-mingw-w64-x86-64-win32 libz-mingw-w64-dev libgnutls28-dev libfreetype-dev autotools-dev python3 ed"
missing=$(for p in $need; do dpkg -s "$p" >/dev/null 2>&1 || echo "$p"; done)
[ -z "$missing" ] || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing

step sources
cd "$work"; mkdir -p apt/lists/partial apt/cache/archives/partial
# trixie's packages, from the mirror that this machine's apt already uses
key=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)}
[ -n "$mirror" ] || { echo "no Debian mirror found in apt's sources; set DEBIAN_MIRROR" >&2; exit 1; }
printf 'deb [arch=amd64 signed-by=%s] %s trixie main\ndeb-src [signed-by=%s] %s trixie main\n' $key "$mirror" $key "$mirror" > apt/sources.list
apt="apt-get -qq -o Dir::Etc::sourcelist=$work/apt/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$work/apt/lists -o Dir::Cache=$work/apt/cache -o Dir::State::status=/dev/null -o APT::Sandbox::User=root"
[ -f libwine_${version}_amd64.deb ] && [ -f wine_$version.dsc ] || {
    $apt update
    $apt download libwine:amd64=$version
    $apt source --download-only wine=$version
}
rm -rf src deb obj
dpkg-source --no-check -x wine_$version.dsc src >/dev/null
dpkg-deb -x libwine_${version}_amd64.deb deb
pe=$work/deb/usr/lib/x86_64-linux-gnu/wine/x86_64-windows
unix=$work/deb/usr/lib/x86_64-linux-gnu/wine/x86_64-unix

step patch
cd src
(cd "$here"/edits && find . -name '*.ed') | while read -r e; do { cat "$here/edits/$e"; echo w; } | ed -s "${e%.ed}" >/dev/null; done
cp -r "$here"/src/. .

step generate
# Debian's source has no generated files. What isn't built here only has to exist.
./tools/make_requests >/dev/null; ./tools/make_specfiles >/dev/null
ln -sf /usr/share/misc/config.sub /usr/share/misc/config.guess tools/
sed -n 's/^\tln -sf \.\./ln -sf ../p' debian/rules | sh
rm -rf libs/zlib
cp "$work"/deb/usr/share/wine/nls/*.nls nls/
sed -n 's/^dump_[a-z_]*( "\(dlls[^"]*\)".*/\1/p' tools/make_unicode | while read -r f; do
    case $f in dlls/dwrite/scripts) : > $f.c; : > $f.h;; *) : > "$f";; esac
done
for f in dlls/tzres/tzres.rc dlls/opengl32/thunks.c dlls/opengl32/unix_thunks.c dlls/winevulkan/loader_thunks.c \
         dlls/winevulkan/vulkan_thunks.c include/wine/vulkan.h include/wine/wgl.h include/wine/wgl_driver.h; do : > $f; done
python3 - "$pe/kernelbase.dll" > dlls/kernelbase/kernelbase.rgs <<'PY'
import sys  # the registry script is a resource of the DLL
d = open(sys.argv[1], 'rb').read(); i = d.find(b'HKLM\n{'); j = d.find(b'\n}\n', i)
sys.stdout.buffer.write(d[i:j + 3])
PY
autoconf; autoheader

step configure
mkdir -p ../obj/include/wine; cd ../obj
ln -sf ../../../src/include/wine/server_tmpdir.h include/wine/
printf '#ifndef wine_build\n#define wine_build "wine-10.0 (winlab)"\n#endif\n' > include/version.h
without=; for x in x wayland oss sane netapi pcap usb gstreamer ffmpeg cups alsa pulse sdl udev v4l2 vulkan opengl opencl osmesa \
    gphoto krb5 gssapi dbus fontconfig capi pcsclite unwind; do without="$without --without-$x"; done
../src/configure --prefix=/opt/winlab --bindir=/opt/winlab/bin --libdir=/opt/winlab/lib --datarootdir=/opt/winlab/share \
    --enable-win64 --with-mingw --disable-win16 $without ZLIB_PE_LIBS=z CFLAGS="-O2 -g0 -w" CROSSCFLAGS="-O2 -g0 -w" > configure.log 2>&1

step compile
so="ntdll/ntdll bcrypt/bcrypt crypt32/crypt32 mountmgr.sys/mountmgr nsiproxy.sys/nsiproxy secur32/secur32"
dll="$(cat "$here"/dlls.txt)"
make -j"$(nproc)" server/wineserver loader/wine64 loader/wine64-preloader \
    $(for s in $so; do echo dlls/$s.so; done) $(for d in $dll; do echo dlls/$d/x86_64-windows/$d.dll; done) > make.log 2>&1 ||
    { tail -20 make.log; exit 1; }

step install
rm -rf "$lab"/bin "$lab"/lib "$lab"/share "$lab"/template
mkdir -p "$lab"/bin "$lab"/lib/x86_64-unix "$lab"/lib/x86_64-windows "$lab"/share
cp server/wineserver loader/wine64 loader/wine64-preloader "$lab"/bin/
for s in $so; do cp dlls/$s.so "$lab"/lib/x86_64-unix/; done
for s in win32u ws2_32 dnsapi localspl msv1_0 netapi32; do cp $unix/$s.so "$lab"/lib/x86_64-unix/; done
strip "$lab"/bin/wine64 "$lab"/bin/wineserver "$lab"/lib/x86_64-unix/*.so
grep -v zlib1 "$here"/keep.txt | while read -r f; do [ -e "$pe/$f" ] && x86_64-w64-mingw32-strip -o "$lab/lib/x86_64-windows/$f" "$pe/$f" 2>/dev/null ||
    cp "$pe/$f" "$lab/lib/x86_64-windows/"; done
cp /usr/x86_64-w64-mingw32/lib/zlib1.dll "$lab"/lib/x86_64-windows/; tools/winebuild/winebuild --builtin "$lab"/lib/x86_64-windows/zlib1.dll
for d in $dll; do x86_64-w64-mingw32-strip -o "$lab"/lib/x86_64-windows/$d.dll dlls/$d/x86_64-windows/$d.dll; done
cp -L "$work"/deb/usr/share/wine/wine.inf "$lab"/share/; cp -rL "$work"/deb/usr/share/wine/nls "$lab"/share/
mkdir "$lab"/share/wine; ln -s ../nls "$lab"/share/wine/nls   # the server looks there
cp "$here"/winlab "$lab"/winlab
cc="x86_64-w64-mingw32-gcc -O1 -s -w -municode"; libs="-lole32 -loleaut32 -luuid -lws2_32 -lnetapi32 -lcrypt32 -ladvapi32 -lntdll"
$cc -o "$lab"/limited.exe "$here"/limited.c $libs
mkdir -p "$lab"/selftest
for t in selftest integrity accounts network; do $cc -o "$lab"/selftest/$t.exe "$here"/selftest/$t.c $libs; done

step template prefix
"$lab"/winlab --make-template
du -sh "$lab"
cd "$lab"; [ -n "${KEEP_WORK:-}" ] || rm -rf "$work"/src "$work"/obj "$work"/deb
if [ -z "${NO_SELFTEST:-}" ]; then
    step self test
    for t in selftest integrity "selftest -l" "integrity -l" "integrity -u" accounts network; do
        set -- $t
        WINLAB_TIMEOUT=100 "$lab"/winlab ${2:-} "$lab"/selftest/$1.exe > "$lab/selftest/$1${2:-}.log" 2>&1 && echo "$t: ok" ||
            echo "$t: FAILED, see $lab/selftest/$1${2:-}.log"
    done
fi
step done
