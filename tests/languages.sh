# Sees to it that the tests of docs/examples have the languages that they must have. Sourced by tests/run.sh, after
# tests/browser.sh, which has install_packages(). C# is not among them: Debian has no .NET.

provide_languages() {
    local program package
    for program in python3 node java; do
        command -v "$program" >/dev/null && continue
        package=$program
        case $program in
            node) package=nodejs ;;
            java) package=default-jdk-headless ;;
        esac
        say "$program: installing it by apt-get"
        install_packages "$package" ||
            echo "$program is missing, so the tests of docs/examples will fail: install $package" >&2
    done
}
