# Sees to it that the tests of the console have a browser, and what looks for faults of accessibility in its pages. Sourced
# by tests/run.sh. The caller has a function say().

# As root, or by sudo without a password.
install_packages() {
    local sudo=
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        sudo=sudo
    fi
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@" && return
    # A machine that is new has no lists yet.
    $sudo apt-get update
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

provide_browser() {
    if ! command -v chromedriver >/dev/null; then
        say "Chromium: installing it by apt-get"
        install_packages chromium chromium-driver fonts-dejavu-core ||
            echo "chromedriver is missing, so the tests of the console in a browser will fail: install Chromium and its driver" >&2
    fi
    local axe=$PWD/target/tools/axe version=4.14.1
    if [ ! -e "$axe/package/axe.min.js" ]; then
        say "axe-core: from npm's registry"
        command -v npm >/dev/null || install_packages npm ||
            echo "npm is missing, so the accessibility of the console cannot be tested" >&2
        mkdir -p "$axe"
        (cd "$axe" && npm pack --silent "axe-core@$version" >/dev/null && tar -xzf axe-core-*.tgz package/axe.min.js && rm axe-core-*.tgz)
    fi
}
