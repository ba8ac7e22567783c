// Who watches the watcher: alert rules on spwatch's own health. What to do at each is in docs/operations.md.

@description('Region of the log rules.')
param location string

@description('Tags of rules and action group.')
param tags object

@description('Beginning of the rules\' names.')
param namePrefix string

@description('Whether the rules are evaluated.')
param enabled bool

@description('Addresses that get mail; none: there is no action group, and alerts are seen in the portal alone.')
param emails array

@description('Id of the Log Analytics workspace.')
param workspaceId string

@description('Id of the Application Insights component.')
param componentId string

@description('Id of the Event Hubs namespace.')
param namespaceId string

// The handler writes one JSON object a line, and the host makes a row of AppTraces of each; Message holds the line. The
// workspace may be shared, so rows are taken by the component that they came through.
var lines = '''
AppTraces
| where _ResourceId =~ '{0}'
| extend line = parse_json(Message)
| where tostring(line.event) in ({1})
'''

// Rows arrive minutes late, so a window is longer than the time between two looks. A rule stays fired until looks find
// nothing wrong, and tells it once: so what lasts is taken from lines that come each minute while it does.
var rules = [
  {
    // No line of Housekeeping, which runs each minute.
    name: 'silent'
    title: 'spwatch does not run'
    todo: 'Nothing may be judged; the hub keeps events meanwhile. Start the app, read its log: docs/operations.md.'
    severity: 0
    events: '\'housekeeping-done\''
    operator: 'LessThan'
    threshold: 1
    window: 'PT15M'
    windows: 1
    failingWindows: 1
  }
  {
    name: 'kept'
    title: 'spwatch could not deliver an alert'
    todo: 'It lies in spwatch-undelivered. Read it there, mend the sink, run spwatch redeliver: docs/operations.md.'
    severity: 1
    events: '\'alert-kept\', \'alerts-undelivered\''
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    windows: 1
    failingWindows: 1
  }
  {
    name: 'policy'
    title: 'spwatch refuses its policy, or has none'
    todo: 'Run spwatch validate on the uploaded policy, mend it, upload it again: docs/operations.md.'
    severity: 1
    events: '\'policy-unwell\', \'policy-missing\''
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    windows: 1
    failingWindows: 1
  }
  {
    // In two of three windows: what fails once is retried, and judged.
    name: 'not-judged'
    title: 'spwatch fails to judge'
    todo: 'Events wait in the hub, until its retention ends. The log line has the reason: docs/operations.md.'
    severity: 1
    events: '\'batch-not-judged\''
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
    windows: 3
    failingWindows: 2
  }
]

resource mail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: '${namePrefix}-mail'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'spwatch'
    enabled: true
    emailReceivers: [
      for (email, index) in emails: {
        name: 'mail-${index}'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

var actionGroupIds = [
  mail.id
]

var metricActions = [
  {
    actionGroupId: mail.id
  }
]

resource logRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: '${namePrefix}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.todo
      severity: rule.severity
      enabled: enabled
      scopes: [
        workspaceId
      ]
      evaluationFrequency: 'PT5M'
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: format(lines, componentId, rule.events)
            timeAggregation: 'Count'
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: rule.windows
              minFailingPeriodsToAlert: rule.failingWindows
            }
          }
        ]
      }
      autoMitigate: true
      // In a new workspace there is no AppTraces before the first line has come.
      skipQueryValidation: true
      actions: {
        actionGroups: empty(emails) ? [] : actionGroupIds
      }
    }
  }
]

// Names of the metrics: learn.microsoft.com/azure/event-hubs/monitor-event-hubs-reference. No dimension for the hub:
// the namespace has only ours.
resource throttled 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${namePrefix}-throttled'
  location: 'global'
  tags: tags
  properties: {
    description: 'The hub turns requests away, logs are late. Raise maximumThroughputUnits: docs/operations.md.'
    severity: 2
    enabled: enabled
    scopes: [
      namespaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'throttled'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'ThrottledRequests'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: empty(emails) ? [] : metricActions
  }
}

// Both must hold in the same hour. Not tried in Azure: whether OutgoingMessages reads as 0 or as nothing when nobody
// has read. With nothing the rule would stay quiet; then the rule `silent` and the alert `stream-lagging` remain.
resource unread 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${namePrefix}-unread'
  location: 'global'
  tags: tags
  properties: {
    description: 'Logs arrived for an hour and nobody read them. See roles and the host\'s log: docs/operations.md.'
    severity: 1
    enabled: enabled
    scopes: [
      namespaceId
    ]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT1H'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'something-came-in'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'IncomingMessages'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
        {
          name: 'nothing-went-out'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'OutgoingMessages'
          timeAggregation: 'Total'
          operator: 'LessThanOrEqual'
          threshold: 0
        }
      ]
    }
    actions: empty(emails) ? [] : metricActions
  }
}

// No rule on Http5xx: the only function that answers over HTTP is Status, which answers 503 on purpose where something
// is wrong, and what is wrong has a rule of its own above.
