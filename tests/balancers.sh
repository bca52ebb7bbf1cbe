# Sees to it that the tests have the load balancers that docs/examples configures. Sourced by tests/run.sh, after
# tests/browser.sh, which has install_packages().

provide_balancers() {
    local program
    for program in nginx haproxy; do
        # Their folder is not in the path of every user.
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null && continue
        say "$program: installing it by apt-get"
        install_packages "$program" ||
            echo "$program is missing, so its test will fail: install $program" >&2
    done
}
