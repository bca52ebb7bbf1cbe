#!/bin/sh
# Prints the PrometheusRule that has the alerts of config/prometheus/rules.yml. After a change there:
#
#   config/kubernetes/components/monitoring/prometheus-rule.sh > config/kubernetes/components/monitoring/prometheus-rule.yaml
set -eu
cd "$(dirname "$0")/../../../prometheus"
cat <<'END'
# Made by prometheus-rule.sh from config/prometheus/rules.yml, where changes belong.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: suki-receiver
spec:
END
# All from its one key on, two blanks deeper.
sed -n '/^groups:/,$p' rules.yml | sed 's/^\(.\)/  \1/'
