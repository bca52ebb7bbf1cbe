# Sees to it that the tests of docs/examples have the languages that they must have. Sourced by tests/run.sh, after
# tests/browser.sh, which has install_packages(). Java and C# are tried where they are there.

provide_languages() {
    local program package
    for program in python3 node; do
        command -v "$program" >/dev/null && continue
        package=$program
        [ "$program" = node ] && package=nodejs
        say "$program: installing it by apt-get"
        install_packages "$package" ||
            echo "$program is missing, so the tests of docs/examples will fail: install $package" >&2
    done
}
