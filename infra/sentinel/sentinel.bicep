// The table, the data collection rule and the analytics rule of the `sentinel` sink, from the files beside this one.
// Deployed on its own into the resource group of the workspace, which Microsoft Sentinel is on already.

targetScope = 'resourceGroup'

@description('Name of the Log Analytics workspace in this resource group.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Region of the data collection rule: the workspace\'s.')
param location string = resourceGroup().location

@description('Tags of the data collection rule.')
param tags object = {}

@description('Name of the data collection rule.')
@minLength(3)
@maxLength(30)
param collectionRuleName string = 'spwatch'

@description('Object id of whoever sends: output functionAppPrincipalId of main.bicep.')
@minLength(36)
@maxLength(36)
param senderPrincipalId string

@description('Whether the analytics rule runs.')
param ruleEnabled bool = true

var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

var tableSchema = loadJsonContent('table.json').properties.schema
var stream = loadJsonContent('stream.json')
var rule = loadYamlContent('rule.yaml')

// The file has sub-techniques, which the service refuses here: "The expected format is 'T####'" (Azure/Azure-Sentinel,
// "Analytic Rules with subtechniques fail to deploy"). Each alert names them in full.
var techniques = [
  for technique in rule.relevantTechniques: split(technique, '.')[0]
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource table 'Microsoft.OperationalInsights/workspaces/tables@2025-07-01' = {
  parent: workspace
  name: 'Spwatch_CL'
  properties: {
    plan: 'Analytics'
    schema: tableSchema
  }
}

// Kind Direct: it has an address of its own to send to, and needs no data collection endpoint
// (MicrosoftDocs/azure-monitor-docs, articles/azure-monitor/logs/logs-ingestion-api-overview.md).
resource collectionRule 'Microsoft.Insights/dataCollectionRules@2024-03-11' = {
  name: collectionRuleName
  location: location
  tags: tags
  // The published type names Linux and Windows and takes any text; `Direct` is in the page above.
  #disable-next-line open-enum
  kind: 'Direct'
  properties: {
    description: 'Alerts of spwatch'
    streamDeclarations: stream.streamDeclarations
    destinations: {
      logAnalytics: [
        {
          // The name that the flows in stream.json have.
          name: 'workspace'
          workspaceResourceId: workspace.id
        }
      ]
    }
    dataFlows: stream.dataFlows
  }
  // A flow into a table that is not there is refused.
  dependsOn: [
    table
  ]
}

// On the rule alone: it sends to this stream, and to nothing else of the workspace.
resource onCollectionRule 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(collectionRule.id, senderPrincipalId, monitoringMetricsPublisher)
  scope: collectionRule
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
    principalId: senderPrincipalId
    principalType: 'ServicePrincipal'
    description: 'spwatch sends alerts.'
  }
}

// rule.yaml has durations as 5m and 1d, and operators short, as Azure/Azure-Sentinel writes them.
resource analyticsRule 'Microsoft.SecurityInsights/alertRules@2025-09-01' = {
  scope: workspace
  name: rule.id
  kind: 'Scheduled'
  properties: {
    displayName: rule.name
    description: rule.description
    enabled: ruleEnabled
    severity: rule.severity
    tactics: rule.tactics
    techniques: techniques
    query: rule.query
    queryFrequency: 'PT${toUpper(rule.queryFrequency)}'
    queryPeriod: 'P${toUpper(rule.queryPeriod)}'
    triggerOperator: 'GreaterThan'
    triggerThreshold: rule.triggerThreshold
    suppressionEnabled: false
    suppressionDuration: 'PT5H'
    eventGroupingSettings: rule.eventGroupingSettings
    alertDetailsOverride: rule.alertDetailsOverride
    customDetails: rule.customDetails
    entityMappings: rule.entityMappings
    incidentConfiguration: {
      createIncident: rule.incidentConfiguration.createIncident
      groupingConfiguration: {
        enabled: rule.incidentConfiguration.groupingConfiguration.enabled
        reopenClosedIncident: rule.incidentConfiguration.groupingConfiguration.reopenClosedIncident
        lookbackDuration: 'PT${toUpper(rule.incidentConfiguration.groupingConfiguration.lookbackDuration)}'
        matchingMethod: rule.incidentConfiguration.groupingConfiguration.matchingMethod
      }
    }
  }
  dependsOn: [
    table
  ]
}

@description('Key `endpoint` of the sink.')
output endpoint string = collectionRule.properties.endpoints.logsIngestion

@description('Key `rule_id` of the sink.')
output ruleId string = collectionRule.properties.immutableId
